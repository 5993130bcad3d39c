# What every script of the host begins with. It is sent with the script over the connection's standard input, and the
# last line of the whole calls `apply` or `undo` (see infra/host.py). Each of the two may run any number of times.
# shellcheck shell=sh
set -eu
umask 022
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

# What the host was before us: a file's first content, or a mark that there was none.
before=/var/lib/vps/before

# put FILE: makes FILE what standard input says. True when that changed it.
put() {
    mkdir -p "$(dirname "$1")" "$before$(dirname "$1")"
    new=$(mktemp)
    cat >"$new"
    if cmp -s "$new" "$1"; then
        rm "$new"
        return 1
    fi
    keep "$1"
    install -m 0644 "$new" "$1"
    rm "$new"
}

# keep FILE: remembers it as it is, unless an earlier run has done so.
keep() {
    if [ -e "$before$1" ] || [ -L "$before$1" ] || [ -e "$before$1.none" ]; then
        return
    fi
    mkdir -p "$before$(dirname "$1")"
    if [ ! -e "$1" ] && [ ! -L "$1" ]; then
        touch "$before$1.none"
    else
        cp -a "$1" "$before$1.partial"
        mv "$before$1.partial" "$before$1"
    fi
}

# give_back FILE: makes it what it was before us. True when that changed something.
give_back() {
    if [ -e "$before$1.none" ]; then
        rm -f "$1" "$before$1.none"
    elif [ -e "$before$1" ] || [ -L "$before$1" ]; then
        rm -f "$1"
        mv "$before$1" "$1"
    else
        return 1
    fi
    find /var/lib/vps -depth -type d -empty -delete
}

# need PACKAGE...: installs those that are missing, by lists that are at most an hour old. A host that has just started
# may hold apt's lock for minutes.
need() {
    missing=
    for package; do
        state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    # An earlier run may have been cut off. Where this can't help, apt says why.
    dpkg --configure --pending || true
    if [ -z "$(find /var/lib/apt/lists -maxdepth 0 -mmin -60)" ]; then
        refresh
    fi
    # shellcheck disable=SC2086 # a list of names
    apt-get --quiet=2 --yes --no-install-recommends --option DPkg::Lock::Timeout=300 \
        --option Dpkg::Use-Pty=0 --option Dpkg::Options::=--force-confold install $missing
}

# refresh: reads anew which packages there are.
refresh() {
    apt-get --quiet=2 --option DPkg::Lock::Timeout=300 update
}

fail() {
    echo "$*" >&2
    exit 1
}
