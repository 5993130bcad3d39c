# The time zone, and a correct clock, which certificates and logs depend on.
# shellcheck shell=sh

apply() {
    zone=$1
    need chrony tzdata
    [ -e "/usr/share/zoneinfo/$zone" ] || fail "There is no time zone $zone. Correct host.time_zone."
    keep /etc/localtime
    ln -sfn "/usr/share/zoneinfo/$zone" /etc/localtime
    echo "$zone" | put /etc/timezone
}

undo() {
    give_back /etc/localtime
    give_back /etc/timezone
}
