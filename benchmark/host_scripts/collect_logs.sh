#!/usr/bin/env bash
# Searches and compresses the logs of a finished run. usage: collect_logs.sh RUN_DIRECTORY LIMIT LINES
# Writes RUN_DIRECTORY/collected/NAME.log.gz for each log, of logs larger than LIMIT bytes only the beginning and the
# end, and prints one finding per line, fields separated by tabs:
#   found NAME KIND COUNT | line NAME KIND TEXT (the first LINES of each kind) | cut NAME BYTES
set -u
export LC_ALL=C
cd "$1" || exit 1
limit=$2 lines=$3
rm -rf collected
mkdir collected

# A line counts once, as the most severe kind that matches. The patterns are those of programs in Rust and Go and of
# Debian's servers.
search() { # NAME; reads the log from standard input
    awk -v name="$1" -v most="$lines" '
        index($0, "\033") { gsub(/\033\[[0-9;]*m/, "") }
        { kind = "" }
        /(^|[^A-Za-z])(ERROR|FATAL|CRITICAL)([^A-Za-z]|$)|"level":"(error|fatal)"|level=(error|fatal)|^Traceback |^([Ee]rror|fatal): |\[(error|crit|alert|emerg)\]/ { kind = "error" }
        /[Ss]egmentation fault|SIG(SEGV|ABRT|BUS|ILL)|core dumped|[Oo]ut of memory|OutOfMemory|std::bad_alloc|[Aa]ssertion .*failed/ { kind = "crash" }
        /AddressSanitizer|stack smashing|has overflowed its stack|BUG REPORT START/ { kind = "crash" }
        /panicked at |^panic: |^fatal error: |(^|[^A-Za-z])PANIC([^A-Za-z]|$)|"level":"d?panic"|level=panic/ { kind = "panic" }
        kind != "" && count[kind]++ < most { gsub(/\t/, " "); first[kind, count[kind]] = substr($0, 1, 400) }
        END {
            for (kind in count) {
                printf "found\t%s\t%s\t%d\n", name, kind, count[kind]
                for (i = 1; i <= most && i <= count[kind]; i++) printf "line\t%s\t%s\t%s\n", name, kind, first[kind, i]
            }
        }'
}

for file in logs/*.log; do
    [[ -f $file ]] || continue
    name=${file##*/}
    name=${name%.log}
    search "$name" <"$file"
    size=$(stat -c %s "$file")
    if ((size <= limit)); then
        gzip <"$file" >"collected/$name.log.gz"
        continue
    fi
    printf 'cut\t%s\t%d\n' "$name" "$size"
    {
        head -c $((limit / 2)) "$file"
        printf '\n[%d of %d bytes omitted here, the limit is %d]\n' $((size - limit / 2 * 2)) "$size" "$limit"
        tail -c $((limit / 2)) "$file"
    } | gzip >"collected/$name.log.gz"
done
