#!/usr/bin/env bash
# Supervises the processes of one host during one run. usage: supervise.sh RUN_DIRECTORY
#
# Reads commands from standard input and reports events on standard output, one per line:
#   start NAME UNIX_TIME | send NAME TEXT | why NAME | probe NAME | ping | stop NAME | stop
#   started NAME UNIX_TIME | ready NAME UNIX_TIME | found NAME TEXT | exited NAME CODE | pong UNIX_TIME | stopped
# `why` prints with `found` why a process is not ready; `stop NAME` stops one process, `stop` all, after which this ends.
# When the input ends, because the runner is gone, all processes are stopped. A process that has exited may start again.
# Each process has a folder RUN_DIRECTORY/NAME with the files command (a bash script that ends in exec), ready (the
# readiness check: `tcp PORT`, `http PORT PATH`, `metric PORT PATH NAME`, `log PATTERN` or `run SCRIPT`), alive (the same
# once it was ready) and grace (seconds between SIGTERM and SIGKILL). This script adds pid, stdin and, at another start,
# logged (the size of the log then); output is written to RUN_DIRECTORY/logs/NAME.log.
# Every process has GEOBENCH_RUN=RUN_DIRECTORY in its environment, by which probe.sh finds those that outlive this script.
set -u
export LC_ALL=C
cd "$1" || exit 1
mkfifo -m 600 idle
mkdir -p logs

run=$(pwd -P)
declare -A launched=() # by name: the pid of the subshell that launches the process and waits for its end

nap() { read -r -t "$1" _ <>"$idle"; }
idle=$PWD/idle

# A pid is valid only together with its start time (field 22 of stat), because pids are reused. The second field, the
# name, is in parentheses and may contain spaces.
identity() {
    local stat
    stat=$(<"/proc/$1/stat") && read -r -a stat <<<"${stat##*) }" && echo "$1 ${stat[19]}"
}

get() { # PORT PATH: prints the answer of an HTTP server on this host
    exec 3<>"/dev/tcp/127.0.0.1/$1" && printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&3 && timeout 5 cat <&3
}

is_ready() { # KIND ARGUMENTS; in the process's folder
    case $1 in
    tcp) (exec 3<>"/dev/tcp/127.0.0.1/$2") ;;
    # Answers are read to their end: servers log clients that disconnect early.
    http) get "$2" "$3" | (read -r _ status _; cat >/dev/null; [[ ${status-} == 2* ]]) ;;
    metric) get "$2" "$3" | grep -E -- "^$4[{ ]" >/dev/null ;;
    log) tail -c "+$(($(<logged) + 1))" "../logs/${PWD##*/}.log" | grep -E -- "${*:2}" >/dev/null ;;
    run) GEOBENCH_RUN=$run bash "./$2" >/dev/null ;;
    esac 2>/dev/null
}

reason() { # prints the reason in the last of bash's messages about a connection
    local line text=$1
    while read -r line; do [[ -n $line ]] && text=$line; done
    text=${text##*: }
    echo "${text,}"
}

find_reason() { # KIND ARGUMENTS; in the process's folder: prints why it is not ready
    local log=../logs/${PWD##*/}.log answer code
    case $1 in
    tcp) (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>&1 | reason 'port is open' ;;
    http | metric)
        answer=$(get "$2" "$3" 2>&1 | head -c 1000000 | tr -d '\0\r')
        if [[ $answer != HTTP/* ]]; then
            if [[ $answer == *'/dev/tcp/'* ]]; then reason '' <<<"$answer"; else echo 'no HTTP answer within 5 s'; fi
        elif [[ $1 == http || ${answer%%$'\n'*} != *' 2'* ]]; then
            echo "answered ${answer%%$'\n'*}"
        else
            echo "the answer has no sample of $4"
        fi
        ;;
    log) echo "no line of $(wc -l <"$log") matches" ;;
    run)
        answer=$(GEOBENCH_RUN=$run timeout 5 bash "./$2" 2>&1)
        code=$?
        answer=${answer//$'\n'/ }
        if ((code == 124)); then echo 'did not end within 5 s'; else echo "exit code $code${answer:+: ${answer:0:200}}"; fi
        ;;
    esac
}

explain() { # NAME
    local condition
    read -r -a condition <"$1/ready" && echo "found $1 $(cd "$1" && find_reason "${condition[@]}" 2>/dev/null)"
}

probe() { # NAME: reports whether a process that was ready still is
    local condition
    read -r -a condition <"$1/alive"
    # Without the time limit, a connection to a process that hangs takes as long as the kernel tries.
    # shellcheck disable=SC2016 # expanded by the inner shell
    if run=$run timeout -s KILL 5 bash -c "$(declare -f get is_ready)"'; cd "$1" && shift && is_ready "$@"' \
        probe "$1" "${condition[@]}"; then
        echo "answers $1"
    else
        echo "found $1 its readiness check (${condition[*]}) fails"
    fi
}

report_ready() { # NAME PID CHECK
    local condition
    read -r -a condition <"$3"
    until is_ready "${condition[@]}"; do
        kill -0 "$2" 2>/dev/null || return
        nap 0.05
    done
    echo "ready $1 $EPOCHREALTIME"
}

launch() { # NAME UNIX_TIME CHECK
    if ! { cd "$1" && mkfifo -m 600 stdin; }; then
        echo "exited $1 127"
        return
    fi
    # The launcher leads a new session and so a new process group, which receives all signals.
    # shellcheck disable=SC2016 # expanded by the launcher
    GEOBENCH_RUN=$run setsid bash -c '
        stat=$(</proc/$$/stat)
        read -r -a stat <<<"${stat##*) }"
        echo "$$ ${stat[19]}" >pid
        wait_us=$((${2/./} - ${EPOCHREALTIME/./}))
        if ((wait_us > 0)); then
            printf -v seconds "%d.%06d" $((wait_us / 1000000)) $((wait_us % 1000000))
            read -r -t "$seconds" _
        fi
        echo "started $1 $EPOCHREALTIME" >&8
        exec 8>&-
        . ./command' launcher "$1" "$2" 8>&1 >>"../logs/$1.log" 2>&1 <>stdin &
    local pid=$!
    if [[ -s $3 ]]; then report_ready "$1" "$pid" "$3" & fi
    wait "$pid"
    echo "exited $1 $?"
}

alive() { # NAME: succeeds while the process started under this name runs
    local pid start
    [[ -f $1/pid ]] && read -r pid start <"$1/pid" && [[ $(identity "$pid" 2>/dev/null) == "$pid $start" ]]
}

signal() { # SIGNAL NAME: signal the whole process group, which can outlive its leader
    local pid
    [[ -f $2/pid ]] && read -r pid _ <"$2/pid" && { alive "$2" || [[ ! -e /proc/$pid ]]; } &&
        kill -s "$1" -- "-$pid" 2>/dev/null
}

stop_one() { # NAME
    local seconds=0 deadline
    [[ -f $1/grace ]] && read -r seconds <"$1/grace"
    deadline=$((${EPOCHREALTIME/./} + seconds * 1000000))
    signal TERM "$1"
    while alive "$1" && ((${EPOCHREALTIME/./} < deadline)); do nap 0.02; done
    signal KILL "$1"
}

stop_all() {
    trap '' TERM HUP INT
    local grace=0 name seconds
    local -a patient=()
    for name in "${!launched[@]}"; do
        # A process that is being launched has no pid yet: wait for it, or for the end of its launcher.
        until [[ -s $name/pid ]] || ! kill -0 "${launched[$name]}" 2>/dev/null; do nap 0.01; done
        seconds=0
        [[ -f $name/grace ]] && read -r seconds <"$name/grace"
        if ((seconds == 0)); then
            signal KILL "$name"
        else
            signal TERM "$name" && patient+=("$name")
            ((seconds > grace)) && grace=$seconds
        fi
    done
    local deadline=$((${EPOCHREALTIME/./} + grace * 1000000))
    for name in "${patient[@]}"; do
        while alive "$name" && ((${EPOCHREALTIME/./} < deadline)); do nap 0.02; done
        signal KILL "$name"
    done
    wait
    rm -f supervisor.pid
    echo stopped
    exit 0
}

identity $$ >supervisor.pid
trap stop_all TERM HUP INT
trap : PIPE # an answer to a runner that has gone must not end this script before it stops the processes
while read -r verb name rest; do
    case $verb in
    start)
        check=ready
        if [[ -e $name/pid ]]; then # without it, an order to stop waits for the new one
            check=alive
            wc -c <"logs/$name.log" >"$name/logged"
            rm -f "$name/pid" "$name/stdin"
        fi
        launch "$name" "$rest" "$check" &
        launched[$name]=$!
        ;;
    # Opening a pipe without reader for writing alone would wait for one, and the process may have ended.
    send) [[ -p $name/stdin ]] && echo "$rest" 1<>"$name/stdin" ;;
    why) explain "$name" & ;;
    probe) probe "$name" & ;;
    ping) echo "pong $EPOCHREALTIME" ;;
    stop)
        [[ -n $name ]] || break
        stop_one "$name" &
        ;;
    *) echo "unknown $verb" ;;
    esac
done
stop_all
