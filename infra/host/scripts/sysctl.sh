# Kernel parameters. `net.ipv4.ip_forward` is not among them: Docker sets it.
# shellcheck shell=sh disable=SC2154 # lib.sh sets `before`
# At boot the last file by name wins, in whatever folder. Debian 12 has a 99-protect-links.conf with weaker values.
file=/etc/sysctl.d/99-vps.conf
# The name of the file in earlier versions. Without a mark in `before`, the file is somebody else's.
former=/etc/sysctl.d/90-vps.conf

apply() {
    if [ -e "$former" ] && [ -e "$before$former.none" ]; then
        touch "$before$file.none"
        mv "$former" "$file"
        rm -f "$before$former.none"
    fi
    # Not in a pipe, which would hide a failure.
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
# No source routing, no ICMP redirects, no spoofed source addresses.
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
# For bursts of connections.
net.core.somaxconn = 4096
# Less for an escaped sandbox to read and to attack.
kernel.dmesg_restrict = 1
kernel.kptr_restrict = 2
kernel.unprivileged_bpf_disabled = 1
kernel.yama.ptrace_scope = 1
# Without this, whoever has a terminal can make the kernel load the modules of line disciplines.
dev.tty.ldisc_autoload = 0
fs.protected_fifos = 2
fs.protected_hardlinks = 1
fs.protected_regular = 2
fs.protected_symlinks = 1
# Reboot 10 s after a kernel panic, and avoid swapping.
kernel.panic = 10
vm.swappiness = 10
END
}

# Prints `accept_ra = 2` for each interface that accepts router advertisements. When Docker turns IPv6 forwarding on, the
# kernel ignores advertisements at 1, and the host would lose its default route.
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

# remember: saves the original value of each key, and of the forwarding that Docker turns on. Keys that the kernel does
# not have are left out.
remember() {
    mkdir -p "$before"
    sysctl --pattern "$(keys)" --all 2>/dev/null | while read -r line; do
        grep -qsF "${line%% = *} = " "$before/sysctl" || echo "$line" >>"$before/sysctl"
    done
}

undo() {
    give_back "$file"
    if [ -e "$before/sysctl" ]; then
        # Some keys cannot be relaxed while the kernel runs.
        sysctl --quiet --ignore --load "$before/sysctl" || echo "the other original values apply after a reboot"
        rm "$before/sysctl"
    fi
}

# keys: prints a pattern that matches the keys of the file, and the one that Docker sets.
keys() {
    { sed -n 's/^\([a-z][^ ]*\) = .*/\1/p' "$file" && echo net.ipv6.conf.all.forwarding; } |
        sed 's/\./\\./g' | paste -s -d '|' | sed 's/.*/^(&)$/'
}
