# fail2ban for sshd. Not for HTTP, whose packets come from the addresses of Cloudflare's proxy.
# shellcheck shell=sh disable=SC2154 # lib.sh sets `given_back`
file=/etc/fail2ban/jail.d/vps.local

apply() {
    # fail2ban needs python3-systemd to read the journal, the only place to which Debian's sshd logs.
    need fail2ban python3-systemd
    put "$file" <<'END'
[DEFAULT]
banaction = nftables
banaction_allports = nftables[type=allports]

[sshd]
enabled = true
backend = systemd
# A refused key counts too: sshd accepts nothing else. One that is accepted afterwards takes those before it back.
filter = sshd[publickey=any]
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
        # The package's default jail reads /var/log/auth.log, which Debian with a journal alone does not have.
        fail2ban-client reload >/dev/null || service fail2ban stop
    fi
}
