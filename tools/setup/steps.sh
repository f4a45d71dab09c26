# shellcheck shell=bash
# Source this: `step` runs a part of the set-up with its output in a log file, and prints one line with its time.

log_to() { # log_to FILE: start a new log
    log=$1
    : >"$log"
}

# sudo asks for the password before the first step: their output, and a prompt in it, goes to the log.
ask_for_root() {
    [ "$(id -u)" = 0 ] || ! command -v sudo >/dev/null || sudo -n true 2>/dev/null || sudo -v
}

step() { # step TITLE COMMAND [ARGUMENT]...: run it, or exit with its status and the end of its log
    local title=$1 began=$SECONDS before pipe status
    shift
    before=$(wc -l <"$log")
    echo "== $title" >>"$log"
    exec {pipe}> >(show_progress "$title" "$log") # until this end of the pipe is closed
    set +e                                        # instead of `||`, under which functions ignore errors
    (
        set -e
        exec {pipe}>&-
        "$@"
    ) >>"$log" 2>&1 </dev/null
    status=$?
    set -e
    exec {pipe}>&-
    wait $! || true
    if [ "$status" -ne 0 ]; then
        echo "$title: failed after $((SECONDS - began)) s; the end of $log:" >&2
        tail -n "+$((before + 2))" "$log" | tail -n 20 | sed 's/^/    /' >&2
        exit "$status"
    fi
    printf '%-60s %4d s\n' "$title" $((SECONDS - began))
}

# Print the elapsed time and the last line of the log until standard input ends: every second in one line that changes
# on a terminal, every 30 s in a line of its own elsewhere.
show_progress() { # show_progress TITLE LOG
    local title=$1 log=$2 interval=30 before='' after='\n' began=$SECONDS width line status
    if [ -t 1 ]; then interval=1 before='\r\e[K' after=''; fi
    trap '' INT # the step ends by it, and the pipe with it
    while true; do
        read -rt "$interval" && status=0 || status=$?
        [ "$status" -gt 128 ] || break # no time-out: the end of the input
        width=$(($(tput cols 2>/dev/null || echo 80) - 1))
        line=$(printf '%s: %d s, %s' "$title" $((SECONDS - began)) "$(tail -n 1 "$log" | tr -cd '[:print:]')")
        # shellcheck disable=SC2059
        printf "$before%s$after" "${line:0:width}"
    done
    # shellcheck disable=SC2059
    [ -z "$before" ] || printf "$before"
}
