# The deploy user: it may use Docker over SSH, and sshd allows it nothing else (see sshd.sh).
# shellcheck shell=sh disable=SC2154 # lib.sh sets `before`
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
    # Outside the user's home, so that the user cannot add keys.
    printf '%s\n' "$authorized" | put "$keys"
}

undo() {
    give_back "$keys"
    if [ -e "$before/user" ]; then
        userdel --force --remove "$(cat "$before/user")" 2>/dev/null || true
        rm "$before/user"
    fi
}
