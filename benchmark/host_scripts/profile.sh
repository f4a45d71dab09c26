#!/usr/bin/env bash
# Samples one process of the run that is going on, with all that it started, by Linux perf.
# usage: profile.sh PID SECONDS CALL_GRAPH
# It prints a line for each stack, the outermost frame first: COMMAND;FRAME;FRAME COUNT. Exit code 3: there is no perf.
set -u
export LC_ALL=C
command -v perf >/dev/null || exit 3
members=$(pgrep -g "$1" | paste -sd ,)
[[ -n $members ]] || { echo "no process is left in group $1" >&2; exit 1; }
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
as_root=()
((EUID == 0)) || as_root=(sudo -n)

# The clock of the processor is there in every virtual machine, its counters often are not.
"${as_root[@]}" perf record --quiet --event cpu-clock --freq 99 --call-graph "$3" --pid "$members" \
    --output "$folder/data" -- sleep "$2" >"$folder/said" 2>&1 || { tail -n 5 "$folder/said" >&2; exit 1; }
"${as_root[@]}" perf script --input "$folder/data" --fields comm,ip,sym --no-inline 2>/dev/null | awk '
    # A sample is a line with the command, then its frames from the innermost, then an empty line.
    function finish() {
        if (command != "") stacks[command frames]++
        command = frames = ""
    }
    /^$/ { finish(); next }
    command == "" { gsub(/^[ \t]+|[ \t]+$/, ""); gsub(/[; ]/, "_"); command = $0; next }
    {
        sub(/^[ \t]*[0-9a-f]+[ \t]*/, "")
        gsub(/[; ]/, "_")
        frames = ";" ($0 == "" ? "[unknown]" : $0) frames
    }
    END { finish(); for (stack in stacks) print stack, stacks[stack] }'
