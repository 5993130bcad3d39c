# sshd: keys only. The file's name sorts before those of cloud images, because sshd uses the first value that it reads.
# shellcheck shell=sh disable=SC2154 # lib.sh sets `given_back`
file=/etc/ssh/sshd_config.d/01-vps.conf

apply() {
    user=$1
    grep -q '^Include /etc/ssh/sshd_config.d/' /etc/ssh/sshd_config || fail "/etc/ssh/sshd_config does not include sshd_config.d"
    put "$file" <<END
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitEmptyPasswords no
PermitRootLogin prohibit-password
X11Forwarding no
AllowAgentForwarding no
AllowTcpForwarding no
MaxAuthTries 4
# At its usual level, sshd does not say that it has refused a key, and fail2ban counts what it says.
LogLevel VERBOSE
LoginGraceTime 20
# Pulumi opens a connection for each container, many at the same time.
MaxStartups 64:30:128
PerSourceMaxStartups 64
ClientAliveInterval 30
ClientAliveCountMax 4
Match User $user
    AuthorizedKeysFile /etc/ssh/vps-deploy-keys
    ForceCommand docker system dial-stdio
    PermitTTY no
Match all
END
    mkdir -p /run/sshd
    if ! sshd -t; then
        give_back "$file"
        fail "sshd refuses this configuration. The former file was restored, and sshd was not reloaded."
    fi
    service ssh reload
}

undo() {
    give_back "$file"
    if [ "$given_back" = yes ]; then
        sshd -t
        service ssh reload
    fi
}
