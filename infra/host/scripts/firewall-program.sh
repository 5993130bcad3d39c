# Installs the program that changes the firewall, and a unit that loads the rules at boot, before the network is up.
# shellcheck shell=sh
program=/usr/local/lib/vps/firewall
unit=/etc/systemd/system/vps-firewall.service
wanted=/etc/systemd/system/sysinit.target.wants/vps-firewall.service

apply() {
    need nftables
    printf '%s\n' "$1" | put "$program"
    chmod 0755 "$program"
    put "$unit" <<END
[Unit]
Description=Firewall of the platform
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target docker.service shutdown.target
Conflicts=shutdown.target
ConditionPathExists=/etc/vps/firewall.nft

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$program load

[Install]
WantedBy=sysinit.target
END
    # As `systemctl enable` does, but also where systemd does not run.
    mkdir -p "$(dirname "$wanted")"
    ln -sf "$unit" "$wanted"
    reread
}

undo() {
    rm -f "$wanted"
    give_back "$unit"
    give_back "$program"
    rmdir --ignore-fail-on-non-empty "$(dirname "$program")" 2>/dev/null || true
    reread
}

reread() {
    if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
}
