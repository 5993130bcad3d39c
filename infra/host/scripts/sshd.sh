# sshd: keys only. The name sorts before what a cloud's image brings along, and sshd takes the first value it reads.
# shellcheck shell=sh disable=SC2154 # `given_back` is lib.sh's
file=/etc/ssh/sshd_config.d/01-vps.conf

apply() {
    user=$1
    grep -q '^Include /etc/ssh/sshd_config.d/' /etc/ssh/sshd_config || fail "sshd_config reads no sshd_config.d"
    put "$file" <<END
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitEmptyPasswords no
PermitRootLogin prohibit-password
X11Forwarding no
AllowAgentForwarding no
AllowTcpForwarding no
MaxAuthTries 4
LoginGraceTime 20
# Each container that Pulumi handles is a connection of its own, and many begin at once.
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
        fail "sshd refuses this configuration. The file is as it was before us, and sshd was not touched."
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
