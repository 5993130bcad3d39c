#!/bin/sh
# The firewall of the VPS: one nftables table of our own, changed so that nobody is locked out. Nothing else's rules
# (Docker's, fail2ban's) are touched.
#
#   firewall try SECONDS <rules   check them, remember those in force, arm a timer that puts these back, then change
#   firewall keep                 to be said over a new connection: the rules on trial hold from now on, and at boot
#   firewall load                 the kept rules, at boot
#   firewall remove               no rules any more
set -eu
umask 077
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

table='inet vps'
kept=/etc/vps/firewall.nft
run=/run/vps-firewall

try() {
    seconds=$1
    cat >"$run/rules.new"
    nft --check --file "$run/rules.new"
    if [ -e "$run/before" ]; then
        # Another trial was cut off. What held before it is still what to go back to.
        disarm
    else
        in_force >"$run/before.new"
        mv "$run/before.new" "$run/before"
    fi
    mv "$run/rules.new" "$run/rules"
    # The lock stays with us: the timer must not hold it while it waits.
    setsid "$0" back-after "$seconds" </dev/null >/dev/null 2>&1 9>&- &
    echo "$!" >"$run/timer"
    # One transaction: there is no moment without rules.
    nft --file "$run/rules"
}

keep() {
    [ -e "$run/before" ] || refuse "No rules are on trial: no new connection came in time, and the old ones are back."
    disarm
    mkdir -p "$(dirname "$kept")"
    cp "$run/rules" "$kept.new"
    mv "$kept.new" "$kept"
    rm "$run/before"
}

back() {
    [ -e "$run/before" ] || return 0
    nft --file "$run/before"
    rm "$run/before"
}

load() {
    nft --file "$kept"
}

remove() {
    disarm
    nft --file - <<END
table $table
delete table $table
END
    rm -rf "$(dirname "$kept")" "$run/before" "$run/rules"
}

# The table as it is, as a transaction that makes it so again.
in_force() {
    printf 'table %s\ndelete table %s\n' "$table" "$table"
    # shellcheck disable=SC2086 # two words
    nft list table $table 2>/dev/null || true
}

disarm() {
    if [ -e "$run/timer" ]; then
        kill "$(cat "$run/timer")" 2>/dev/null || true
        rm "$run/timer"
    fi
}

refuse() {
    echo "$*" >&2
    exit 1
}

mkdir -p "$run"
if [ "$1" = back-after ]; then
    sleep "$2"
    set -- back
fi
exec 9>"$run/lock"
flock 9
case $1 in
try | keep | back | load | remove) "$@" ;;
*) refuse "usage: firewall try SECONDS <rules | keep | load | remove" ;;
esac
