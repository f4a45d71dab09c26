#!/usr/bin/env bash
# Holds a testbed for one run, until standard input ends: with the runner that gave it, however that ended.
# usage: lock.sh WORKING_DIRECTORY HOLDER TAKE_OVER; prints `locked`, or `held` and a line about who holds it.
set -u
mkdir -p "$1" && cd "$1" || exit 1
exec 9>>lock
if [[ $3 == 1 ]] && ! flock -n 9 && read -r pid _ <holder; then kill -KILL -- "-$pid"; fi 2>/dev/null
# A runner that was just killed needs a moment to let go.
if flock -w 3 9; then
    echo "$$ $2" >holder
    echo locked
    cat >/dev/null
    rm -f holder
else
    read -r _ who <holder
    echo "held ${who:-by a run that has not said its name yet}"
fi
