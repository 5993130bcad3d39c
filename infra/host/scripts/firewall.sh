#!/bin/sh
# Changes the firewall of the VPS: the nftables table `inet vps`. Other tables (Docker's, fail2ban's) are not touched.
#
#   firewall try SECONDS <rules   check the rules, save the current ones, start a timer that restores them, then load
#   firewall keep                 stop the timer and keep the rules, at boot too; to be run over a new connection
#   firewall load                 load the kept rules; run at boot
#   firewall remove               remove the table and the kept rules
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
        # An earlier trial was interrupted: the rules to restore are still those from before it.
        disarm
    else
        in_force >"$run/before.new"
        mv "$run/before.new" "$run/before"
    fi
    mv "$run/rules.new" "$run/rules"
    # Close the lock's descriptor in the timer, which must not hold the lock while it waits.
    setsid "$0" back-after "$seconds" </dev/null >/dev/null 2>&1 9>&- &
    echo "$!" >"$run/timer"
    # One transaction: there is no moment without rules.
    nft --file "$run/rules"
}

keep() {
    [ -e "$run/before" ] || refuse "No rules are on trial: no connection confirmed them in time, and the previous rules were restored."
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

# The current table, as a transaction that restores it.
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
