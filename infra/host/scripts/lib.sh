# What every script of the host begins with. It is sent with the script over the connection's standard input, and the
# last line of the whole calls `apply` or `undo` (see infra/host/host.py). Each of the two may run any number of times.
# shellcheck shell=sh
set -eu
umask 022
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

# What the host was before us: a file's first content, or a mark that there was none.
before=/var/lib/vps/before

# None of these functions may stand in a condition (`if`, `||`, `&&`, `!`): there `set -e` is off inside of it, and a
# full disk would go unnoticed. tests/unit/infra/test_scripts.py sees to that.

# put FILE: makes FILE what standard input says, at once or not at all. One that says so already stays as it is.
put() {
    mkdir -p "$(dirname "$1")"
    cat >"$1.new"
    if cmp -s "$1.new" "$1"; then
        rm "$1.new"
        return
    fi
    keep "$1"
    chmod 0644 "$1.new"
    mv "$1.new" "$1"
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

# give_back FILE: makes it what it was before us. `given_back` says whether there was anything to do: yes or no.
give_back() {
    given_back=yes
    if [ -e "$before$1.none" ]; then
        rm -f "$1" "$before$1.none"
    elif [ -e "$before$1" ] || [ -L "$before$1" ]; then
        rm -f "$1"
        mv "$before$1" "$1"
    else
        # shellcheck disable=SC2034 # for the scripts
        given_back=no
        return
    fi
    find "${before%/*}" -depth -type d -empty -delete
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
