# Automatic security updates. Not of Docker: the operator chooses when it restarts.
# shellcheck shell=sh
periodic=/etc/apt/apt.conf.d/20auto-upgrades
choices=/etc/apt/apt.conf.d/52vps-upgrades

apply() {
    reboot_at=$1 # such as 04:30, or never
    need unattended-upgrades
    put "$periodic" <<'END'
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
APT::Periodic::AutocleanInterval "7";
END
    if [ "$reboot_at" = never ]; then reboot=false reboot_at=now; else reboot=true; fi
    put "$choices" <<END
Unattended-Upgrade::Package-Blacklist { "^docker"; "^containerd"; };
Unattended-Upgrade::Remove-Unused-Kernel-Packages "true";
Unattended-Upgrade::Automatic-Reboot "$reboot";
Unattended-Upgrade::Automatic-Reboot-Time "$reboot_at";
END
}

undo() {
    give_back "$periodic"
    give_back "$choices"
}
