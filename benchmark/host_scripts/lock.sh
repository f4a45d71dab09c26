#!/usr/bin/env bash
# Locks a testbed for one run until standard input ends, which it does when the runner ends for any reason.
# usage: lock.sh WORKING_DIRECTORY HOLDER TAKE_OVER; prints `locked`, or `held` and the holder of the lock.
set -u
mkdir -p "$1" && cd "$1" || exit 1
exec 9>>lock
if [[ $3 == 1 ]] && ! flock -n 9 && read -r group _ <holder; then kill -KILL -- "-$group"; fi 2>/dev/null
# A runner that was just killed takes a moment to release the lock.
if flock -w 3 9; then
    # The process group, with which also the shells around this script end.
    stat=$(</proc/$$/stat)
    read -r _ _ group _ <<<"${stat##*) }"
    echo "$group $2" >holder
    echo locked
    cat >/dev/null
    rm -f holder
else
    read -r _ who <holder
    echo "held ${who:-by a run that has not identified itself yet}"
fi
