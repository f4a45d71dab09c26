#!/usr/bin/env bash
# Samples a process of the current run and its children with Linux perf. usage: profile.sh PID SECONDS CALL_GRAPH
# Prints one line per stack, outermost frame first: COMMAND;FRAME;FRAME COUNT. Exit code 3: perf is not installed.
set -u
export LC_ALL=C
command -v perf >/dev/null || exit 3
members=$(pgrep -g "$1" | paste -sd ,)
[[ -n $members ]] || { echo "process group $1 has no process left" >&2; exit 1; }
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
as_root=()
((EUID == 0)) || as_root=(sudo -n)

# Every virtual machine has a CPU clock; hardware counters are often missing.
"${as_root[@]}" perf record --quiet --event cpu-clock --freq 99 --call-graph "$3" --pid "$members" \
    --output "$folder/data" -- sleep "$2" >"$folder/output" 2>&1 || { tail -n 5 "$folder/output" >&2; exit 1; }
"${as_root[@]}" perf script --input "$folder/data" --fields comm,ip,sym --no-inline 2>/dev/null | awk '
    # A sample is a line with the command, its frames from the innermost to the outermost, and an empty line.
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
