#!/bin/sh
# Runs a program, and starts it again each time that one of the files in $0 has changed. It ends with the program.
program=
trap 'kill "$program"; wait "$program"; exit' TERM INT
# shellcheck disable=SC2086 # the files, whose names have no spaces
sum() { cat $0 | cksum; }
while :; do
    seen=$(sum)
    "$@" &
    program=$!
    while [ "$(sum)" = "$seen" ]; do
        kill -0 "$program" 2>/dev/null || { wait "$program"; exit; }
        sleep 2 &
        wait $!
    done
    kill "$program"
    wait "$program"
done
