# Functions of all scripts in this folder. infra/host/ssh.py sends this file, a script and a last line, which calls
# `apply` or `undo` of the script, to a shell's standard input. Both can be run any number of times.
# shellcheck shell=sh
set -eu
umask 022
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

# The original of each file that the scripts changed, or FILE.none where there was no file.
before=/var/lib/vps/before

# Don't call these functions in a condition (`if`, `||`, `&&`, `!`): it turns `set -e` off inside them, and a full disk
# would go unnoticed. tests/unit/infra/test_scripts.py checks that.

# put FILE: replaces FILE with standard input, atomically. A FILE with that content is left alone.
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

# keep FILE: saves the original of FILE, unless an earlier run has done so.
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

# give_back FILE: restores the original of FILE. Sets `given_back` to yes, or to no where no original was saved.
give_back() {
    given_back=yes
    if [ -e "$before$1.none" ]; then
        rm -f "$1" "$before$1.none"
    elif [ -e "$before$1" ] || [ -L "$before$1" ]; then
        rm -f "$1"
        mv "$before$1" "$1"
    else
        # shellcheck disable=SC2034 # the scripts read it
        given_back=no
        return
    fi
    find "${before%/*}" -depth -type d -empty -delete
}

# need PACKAGE...: installs missing packages, with package lists that are at most an hour old. Waits up to 300 s for
# apt's lock, which a host holds for minutes after its first boot.
need() {
    missing=
    for package; do
        state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    # Repair an interrupted installation. Where this fails, apt says why.
    dpkg --configure --pending || true
    if [ -z "$(find /var/lib/apt/lists -maxdepth 0 -mmin -60)" ]; then
        refresh
    fi
    # shellcheck disable=SC2086 # word splitting is wanted: a list of names
    apt-get --quiet=2 --yes --no-install-recommends --option DPkg::Lock::Timeout=300 \
        --option Dpkg::Use-Pty=0 --option Dpkg::Options::=--force-confold install $missing
}

# refresh: updates apt's package lists.
refresh() {
    apt-get --quiet=2 --option DPkg::Lock::Timeout=300 update
}

fail() {
    echo "$*" >&2
    exit 1
}
