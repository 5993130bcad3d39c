# PID 1 of a VPS. It runs in new mount, PID, cgroup, UTS and IPC namespaces, and makes a Debian its root.
# $1: the folder of the VPS (upper, work, root, docker); $2: the lower folder, with Debian; $3: the cgroup controllers of
# version 1, or nothing for version 2
# shellcheck shell=sh
set -eu
folder=$1 debian=$2 controllers=$3
root=$folder/root

mount -t overlay overlay -o "lowerdir=$debian,upperdir=$folder/upper,workdir=$folder/work" "$root"
# Docker's overlays do not work on an overlay.
mkdir -p "$root/var/lib/docker"
mount --bind "$folder/docker" "$root/var/lib/docker"

mount -t proc proc "$root/proc"
# Kernel parameters belong to this machine, but for those of the network: the VPS gets a copy of the others.
for part in kernel vm fs; do
    mount -t tmpfs tmpfs "$root/tmp"
    cp -r "/proc/sys/$part/." "$root/tmp/" 2>/dev/null || true
    mount --move "$root/tmp" "$root/proc/sys/$part"
done
mount -t sysfs -o ro sysfs "$root/sys"
if [ -n "$controllers" ]; then
    mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
    for controller in $controllers; do
        mkdir "$root/sys/fs/cgroup/$controller"
        mount -t cgroup -o "$controller" cgroup "$root/sys/fs/cgroup/$controller"
    done
else
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    # The root group gets child groups for the containers, and a group with children may not have processes.
    mkdir -p "$root/sys/fs/cgroup/init"
    echo 0 >"$root/sys/fs/cgroup/init/cgroup.procs"
fi
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
    cp -a "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"

cd "$root"
mkdir -p .machine
pivot_root . .machine
umount -l /.machine
hostname vps
# Without the capabilities to set this machine's clock, load modules, reboot it or read its kernel log.
exec setpriv --bounding-set=-sys_time,-sys_module,-sys_boot,-syslog,-wake_alarm \
    sh -c 'touch /run/booted; trap : TERM; while :; do sleep 3600 & wait; done'
