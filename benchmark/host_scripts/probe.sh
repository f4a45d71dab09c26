#!/usr/bin/env bash
# Kills leftover processes of earlier runs on this host and prints facts about it, one per line: NAME VALUE.
# usage: probe.sh WORKING_DIRECTORY CLEAN PACKAGES PEERS
#   CLEAN: 1 kills leftover processes and removes the run folder, 0 only counts the processes
#   PACKAGES: Debian packages, separated by commas
#   PEERS: NAME=ADDRESS:PORT, separated by commas; the time of a TCP connect to each is printed
set -u
export LC_ALL=C
working=$1 clean=$2 packages=${3//,/ } peers=${4//,/ }
mkdir -p "$working" && cd "$working" || exit 1

started() { local stat; read -r -a stat <"/proc/$1/stat" && echo "${stat[21]}"; } 2>/dev/null

# The pid may belong to another process by now, but a process group keeps its number after its leader has ended.
remains() {
    [[ ! -e /proc/$pid || $(started "$pid") == "$start" ]] && kill -0 -- "-$pid" 2>/dev/null &&
        pgrep -g "$pid" -r D,I,R,S,T >/dev/null # zombies do not count
}

connect_ms() { # ADDRESS PORT: prints the shortest of three concurrent TCP connects, which take one round trip each
    local best
    # The timeout is for firewalls that drop packets silently.
    # shellcheck disable=SC2016 # variables of the inner shell
    best=$(for _ in 1 2 3; do
        timeout 5 bash -c 'begin=${EPOCHREALTIME/./}
        exec 3<>"/dev/tcp/$0/$1" && echo $((${EPOCHREALTIME/./} - begin))' "$1" "$2" 2>/dev/null &
    done | sort -n | head -n 1)
    [[ -n $best ]] && printf '%d.%03d' $((best / 1000)) $((best % 1000))
}

stale=0
for file in run/supervisor.pid run/*/pid; do
    [[ -f $file ]] || continue
    read -r pid start <"$file"
    remains || continue
    stale=$((stale + 1))
    ((clean)) || continue
    kill -KILL -- "-$pid"
    for ((i = 0; i < 500; i++)); do remains || break; sleep 0.01; done
done
echo "stale_processes $stale"
((clean)) && rm -rf run

for peer in $peers; do
    target=${peer#*=}
    address=$(tr -d '[]' <<<"${target%:*}") # an IPv6 address is in brackets
    { ms=$(connect_ms "$address" "${target##*:}") && echo "rtt_ms ${peer%%=*} $ms"; } &
done
echo "cpus $(nproc)"
echo "cpu_model $(lscpu 2>/dev/null | sed -n 's/^Model name: *//p' | head -n 1)"
# shellcheck disable=SC1091 # a file of the host
(. /etc/os-release && echo "os $PRETTY_NAME") 2>/dev/null
while read -r key value _; do
    case $key in MemTotal:) echo "memory_mb $((value / 1024))" ;; MemAvailable:) echo "memory_free_mb $((value / 1024))" ;; esac
done </proc/meminfo
read -r _ _ _ free _ < <(df -Pk . | tail -n 1)
echo "disk_free_mb $((free / 1024))"
echo "kernel $(</proc/sys/kernel/osrelease)"
read -r booted </proc/sys/kernel/random/boot_id && echo "boot_id $booted"
while read -r _ _ _ address _; do echo "listening ${address##*:}"; done < <(ss -ltnH)
if [[ -n $packages ]]; then
    declare -A versions=()
    # shellcheck disable=SC2016,SC2086 # dpkg-query's variables; one word per package
    while read -r package version; do versions[$package]=$version; done < \
        <(dpkg-query -W -f '${Package} ${Version}\n' $packages 2>/dev/null)
    for package in $packages; do echo "package $package ${versions[$package]:-}"; done
fi
wait
