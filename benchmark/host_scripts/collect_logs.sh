#!/usr/bin/env bash
# Searches and compresses the logs of a finished run. usage: collect_logs.sh RUN_DIRECTORY LIMIT LINES
# Writes RUN_DIRECTORY/collected/NAME.log.gz for each log, of logs larger than LIMIT bytes only the beginning and the
# end, and prints one finding per line, fields separated by tabs:
#   found NAME KIND COUNT | line NAME KIND TEXT (the first LINES of each kind) | cut NAME BYTES | kept NAME
set -u
export LC_ALL=C
cd "$1" || exit 1
limit=$2 lines=$3
rm -rf collected
mkdir collected

# A line counts once, as the most severe kind that matches. The patterns are those of programs in Rust, Go, C++, Java
# and Python and of Debian's servers. mawk has no repetition counts, so digits are written out.
search() { # NAME; reads the log from standard input
    awk -v name="$1" -v most="$lines" '
        index($0, "\033") { gsub(/\033\[[0-9;]*m/, "") }
        { kind = "" }
        /(^|[^A-Za-z_])(ERROR|FATAL|CRITICAL)([^A-Za-z_]|$)|"level":"(error|fatal)"|level=(error|fatal)|^Traceback |^([Ee]rror|fatal): |\[(error|crit|alert|emerg)\]/ { kind = "error" }
        /^E[0-9][0-9][0-9][0-9]([0-9][0-9][0-9][0-9])? [0-9][0-9]:[0-9][0-9]:/ { kind = "error" }
        /[Ss]egmentation fault|core dumped|[Oo]ut of memory|(^|[^A-Za-z])OutOfMemoryError|OOMKilled|oom-kill:|std::bad_alloc|^MemoryError|[Aa]ssertion .*failed/ { kind = "crash" }
        # Of signals only their arrival: programs also mention the handlers that they install.
        /([Rr]eceived|[Cc]aught|[Gg]ot|[Bb]y|[Oo]n) (fatal )?(signal )?SIG(SEGV|ABRT|BUS|ILL|FPE)|SIG(SEGV|ABRT|BUS|ILL|FPE)(:? \((@?0x|core)|: (segmentation|abort|bus error|illegal|invalid memory|floating))|signal: [0-9]+, SIG/ { kind = "crash" }
        /(ERROR|WARNING): [A-Za-z]+Sanitizer|stack smashing|has overflowed its stack|fatal runtime error: |BUG REPORT START|CRASH REPORT|Fatal Python error: / { kind = "crash" }
        /terminate called (after throwing|without an active)|memory allocation of [0-9]+ bytes failed|^\*\*\* Aborted at / { kind = "crash" }
        /double free or corruption|^(free|malloc|realloc|munmap_chunk)\(\): |corrupted (size vs|double-linked|unsorted)|: (free|malloc|realloc)\(\): (invalid|corrupted|unaligned|memory)/ { kind = "crash" }
        /panicked at |panic serving |^panic: |^fatal error: |(^|[^A-Za-z_])PANIC([^A-Za-z_]|$)|"level":"d?panic"|level=panic|CONSENSUS FAILURE!!!/ { kind = "panic" }
        /^Exception in thread |^Unhandled [Ee]xception|^F[0-9][0-9][0-9][0-9]([0-9][0-9][0-9][0-9])? [0-9][0-9]:[0-9][0-9]:/ { kind = "panic" }
        kind != "" && count[kind]++ < most { gsub(/[[:cntrl:]]/, " "); first[kind, count[kind]] = substr($0, 1, 400) }
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
        gzip <"$file"
    else
        printf 'cut\t%s\t%d\n' "$name" "$size" >&3
        {
            head -c $((limit / 2)) "$file"
            printf '\n[%d of %d bytes omitted here, the limit is %d]\n' $((size - limit / 2 * 2)) "$size" "$limit"
            tail -c $((limit / 2)) "$file"
        } | gzip
    fi 3>&1 >"collected/$name.log.gz" && printf 'kept\t%s\n' "$name"
done
