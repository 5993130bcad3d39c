# The user that deploys. It may speak to Docker and, for sshd, do nothing else (see sshd.sh).
# shellcheck shell=sh disable=SC2154 # `before` is lib.sh's
keys=/etc/ssh/vps-deploy-keys

apply() {
    user=$1
    authorized=$2
    if ! id "$user" >/dev/null 2>&1; then
        useradd --create-home --shell /bin/sh "$user"
        mkdir -p "$before"
        echo "$user" >"$before/user"
    fi
    usermod --append --groups docker "$user"
    # The user itself can't add to this file.
    printf '%s\n' "$authorized" | put "$keys"
}

undo() {
    give_back "$keys"
    if [ -e "$before/user" ]; then
        userdel --force --remove "$(cat "$before/user")" 2>/dev/null || true
        rm "$before/user"
    fi
}
