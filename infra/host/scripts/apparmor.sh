# AppArmor's profiles of the executor and of the sandboxes. A kernel without AppArmor keeps none.
# shellcheck shell=sh
folder=/etc/apparmor.d
loaded=/sys/kernel/security/apparmor/profiles

apply() {
    if [ ! -e "$loaded" ]; then
        echo "This kernel has no AppArmor. Set engine.apparmor to false; docs/SECURITY.md says what is lost."
        return
    fi
    need apparmor
    printf '%s\n' "$1" | put "$folder/vps-executor"
    printf '%s\n' "$2" | put "$folder/vps-sandbox"
    # From AppArmor 4 on, a profile says who may make user namespaces. Older parsers do not know the rule.
    if [ -e "$folder/abi/4.0" ]; then
        echo "userns," | put "$folder/local/vps-executor"
    fi
    apparmor_parser --replace "$folder/vps-executor" "$folder/vps-sandbox"
}

undo() {
    for profile in vps-executor vps-sandbox; do
        if grep -qs "^$profile " "$loaded"; then
            apparmor_parser --remove "$folder/$profile"
        fi
        give_back "$folder/$profile"
    done
    give_back "$folder/local/vps-executor"
}
