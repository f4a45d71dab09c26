#!/usr/bin/env bash
# Supervises the processes of one host during one run. usage: supervise.sh RUN_DIRECTORY
#
# Reads commands from standard input and reports events on standard output, one per line:
#   start NAME UNIX_TIME | send NAME TEXT | ping | stop
#   started NAME UNIX_TIME | ready NAME UNIX_TIME | exited NAME CODE | pong UNIX_TIME | stopped
# When the input ends, because the runner is gone, all processes are stopped.
# Each process has a folder RUN_DIRECTORY/NAME with the files command (a bash script that ends in exec), ready (the
# readiness check: `tcp PORT`, `http PORT PATH`, `metric PORT PATH NAME`, `log PATTERN` or `run SCRIPT`) and grace
# (seconds between SIGTERM and SIGKILL). This script adds pid and stdin; output is written to RUN_DIRECTORY/logs/NAME.log.
set -u
export LC_ALL=C
cd "$1" || exit 1
mkfifo -m 600 idle
mkdir -p logs

nap() { read -r -t "$1" _ <>"$idle"; }
idle=$PWD/idle

# A pid is valid only together with its start time (field 22 of stat), because pids are reused.
identity() { local stat; read -r -a stat <"/proc/$1/stat" && echo "$1 ${stat[21]}"; }

is_ready() { # KIND ARGUMENTS; in the process's folder
    case $1 in
    tcp) (exec 3<>"/dev/tcp/127.0.0.1/$2") ;;
    http) (exec 3<>"/dev/tcp/127.0.0.1/$2" && printf 'GET %s HTTP/1.0\r\n\r\n' "$3" >&3 &&
        read -r -t 5 _ status _ <&3 && [[ $status == 2* ]]) ;;
    metric) (exec 3<>"/dev/tcp/127.0.0.1/$2" && printf 'GET %s HTTP/1.0\r\n\r\n' "$3" >&3 &&
        timeout 5 grep -qE -- "^$4[{ ]" <&3) ;;
    log) grep -qE -- "${*:2}" "../logs/${PWD##*/}.log" ;;
    run) bash "./$2" >/dev/null ;;
    esac 2>/dev/null
}

report_ready() { # NAME PID
    local condition
    read -r -a condition <ready
    until is_ready "${condition[@]}"; do
        kill -0 "$2" 2>/dev/null || return
        nap 0.05
    done
    echo "ready $1 $EPOCHREALTIME"
}

launch() { # NAME UNIX_TIME
    cd "$1" || return
    mkfifo -m 600 stdin
    # The launcher leads a new session and so a new process group, which receives all signals.
    # shellcheck disable=SC2016 # expanded by the launcher
    setsid bash -c '
        read -r -a stat </proc/$$/stat
        echo "$$ ${stat[21]}" >pid
        wait_us=$((${2/./} - ${EPOCHREALTIME/./}))
        if ((wait_us > 0)); then
            printf -v seconds "%d.%06d" $((wait_us / 1000000)) $((wait_us % 1000000))
            read -r -t "$seconds" _
        fi
        echo "started $1 $EPOCHREALTIME" >&8
        exec 8>&-
        . ./command' launcher "$1" "$2" 8>&1 >>"../logs/$1.log" 2>&1 <>stdin &
    local pid=$!
    if [[ -s ready ]]; then report_ready "$1" "$pid" & fi
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

stop_all() {
    trap '' TERM HUP INT
    local grace=0 file name seconds
    local -a patient=()
    for file in */grace; do
        name=${file%/grace}
        read -r seconds <"$file"
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
while read -r verb name rest; do
    case $verb in
    start) launch "$name" "$rest" & ;;
    send) echo "$rest" >"$name/stdin" ;;
    ping) echo "pong $EPOCHREALTIME" ;;
    stop) break ;;
    *) echo "unknown $verb" ;;
    esac
done
stop_all
