# A swap file, so that a short peak of memory slows the host instead of killing processes. 0 MB: no swap file.
# shellcheck shell=sh
file=/var/swap-vps

apply() {
    megabytes=$1
    if [ "$megabytes" -eq 0 ]; then
        undo
        return
    fi
    if [ "$(stat --format=%s "$file" 2>/dev/null || echo 0)" -ne $((megabytes * 1024 * 1024)) ]; then
        undo
        (
            umask 077
            dd if=/dev/zero of="$file" bs=1M count="$megabytes" status=none
        )
        mkswap "$file" >/dev/null
    fi
    grep -q "^$file " /proc/swaps || swapon "$file"
    grep -q "^$file " /etc/fstab || echo "$file none swap sw 0 0" >>/etc/fstab
}

undo() {
    if grep -q "^$file " /proc/swaps; then swapoff "$file"; fi
    sed -i "\\|^$file |d" /etc/fstab
    rm -f "$file"
}
