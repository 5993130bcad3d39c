# Bans for those who try keys at sshd. Never for HTTP: its packets come from the proxy's addresses.
# shellcheck shell=sh disable=SC2154 # `given_back` is lib.sh's
file=/etc/fail2ban/jail.d/vps.local

apply() {
    # Debian logs to the journal only, which fail2ban reads with this.
    need fail2ban python3-systemd
    put "$file" <<'END'
[DEFAULT]
banaction = nftables
banaction_allports = nftables[type=allports]

[sshd]
enabled = true
backend = systemd
maxretry = 5
findtime = 10m
bantime = 1h
END
    fail2ban-client --test >/dev/null
    if fail2ban-client ping >/dev/null 2>&1; then fail2ban-client reload >/dev/null; else service fail2ban start; fi
}

undo() {
    give_back "$file"
    if [ "$given_back" = yes ] && fail2ban-client ping >/dev/null 2>&1; then
        # The package's own jail wants a file that a Debian with the journal alone doesn't have.
        fail2ban-client reload >/dev/null || service fail2ban stop
    fi
}
