# The kernel's settings. `net.ipv4.ip_forward` is Docker's to set.
# shellcheck shell=sh disable=SC2154 # `before` is lib.sh's
# At boot the last by name holds, whatever folder it is in: Debian 12 brings a 99-protect-links.conf, which is weaker.
file=/etc/sysctl.d/99-vps.conf
# Its name until that was seen. One that is not ours has no mark.
former=/etc/sysctl.d/90-vps.conf

apply() {
    if [ -e "$former" ] && [ -e "$before$former.none" ]; then
        touch "$before$file.none"
        mv "$former" "$file"
        rm -f "$before$former.none"
    fi
    # Not through a pipe alone, which would hide that one of them failed.
    wanted=$(
        hardening
        advertised
    )
    printf '%s\n' "$wanted" | put "$file"
    remember
    sysctl --quiet --ignore --load "$file"
}

hardening() {
    cat <<'END'
# No packet may choose its route, change ours, or claim a source that it can't have.
net.ipv4.conf.all.accept_redirects = 0
net.ipv4.conf.all.accept_source_route = 0
net.ipv4.conf.all.rp_filter = 1
net.ipv4.conf.all.send_redirects = 0
net.ipv4.conf.default.accept_redirects = 0
net.ipv4.conf.default.accept_source_route = 0
net.ipv4.conf.default.rp_filter = 1
net.ipv4.conf.default.send_redirects = 0
net.ipv4.tcp_syncookies = 1
net.ipv6.conf.all.accept_redirects = 0
net.ipv6.conf.all.accept_source_route = 0
net.ipv6.conf.default.accept_redirects = 0
net.ipv6.conf.default.accept_source_route = 0
# Visitors come in bursts.
net.core.somaxconn = 4096
# What an escaped sandbox would look at first.
kernel.dmesg_restrict = 1
kernel.kptr_restrict = 2
kernel.unprivileged_bpf_disabled = 1
kernel.yama.ptrace_scope = 1
fs.protected_fifos = 2
fs.protected_hardlinks = 1
fs.protected_regular = 2
fs.protected_symlinks = 1
# A server that nobody sits at starts again by itself, and swaps only when it must.
kernel.panic = 10
vm.swappiness = 10
END
}

# A host that forwards IPv6, as Docker has it do, loses the way out that it learned from a router's advertisements. Those
# that listen to them now shall go on.
advertised() {
    for folder in /proc/sys/net/ipv6/conf/*; do
        interface=$(basename "$folder" | tr . /)
        case $interface in "*" | all | default | lo | docker* | br-* | veth*) continue ;; esac
        line="net.ipv6.conf.$interface.accept_ra = 2"
        listens="$(cat "$folder/accept_ra" "$folder/forwarding" | paste -s -d " ")"
        if [ "$listens" = "1 0" ] || grep -qsxF "$line" "$file"; then
            echo "$line"
        fi
    done
}

# remember: what each key was before us, and before Docker forwards. Not every kernel has every key; what it lacks needs
# no hardening.
remember() {
    mkdir -p "$before"
    sysctl --pattern "$(keys)" --all 2>/dev/null | while read -r line; do
        grep -qsF "${line%% = *} = " "$before/sysctl" || echo "$line" >>"$before/sysctl"
    done
}

undo() {
    give_back "$file"
    if [ -e "$before/sysctl" ]; then
        # Some can only be tightened while the kernel runs.
        sysctl --quiet --ignore --load "$before/sysctl" || echo "the rest of the old values holds after a reboot"
        rm "$before/sysctl"
    fi
}

# A pattern that matches the keys of the file, and the one that Docker sets.
keys() {
    { sed -n 's/^\([a-z][^ ]*\) = .*/\1/p' "$file" && echo net.ipv6.conf.all.forwarding; } |
        sed 's/\./\\./g' | paste -s -d '|' | sed 's/.*/^(&)$/'
}
