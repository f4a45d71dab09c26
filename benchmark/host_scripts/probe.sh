#!/usr/bin/env bash
# Kills leftover processes of earlier runs on this host and prints facts about it, one per line: NAME VALUE.
# usage: probe.sh WORKING_DIRECTORY LEFTOVERS PACKAGES
#   LEFTOVERS: `count` counts leftover processes, `kill` also kills them, `remove` also removes the run folder, unless
#     something else made it: supervise.sh, which runs write first, marks it
#   PACKAGES: Debian packages, separated by commas
set -u
export LC_ALL=C
working=$1 leftovers=$2 packages=${3//,/ }
mkdir -p "$working" && cd "$working" || exit 1

field() { # PID NUMBER: prints a field of /proc/PID/stat; its second one, the name, may contain spaces
    local stat
    stat=$(<"/proc/$1/stat") && read -r -a stat <<<"${stat##*) }" && echo "${stat[$2 - 3]}"
} 2>/dev/null

# Faults first: a process that is stopped or a packet filter would outlive what caused it.
if [[ $leftovers != count && (-f run/faults.json || -f run/injector.pid) ]]; then
    as_root=()
    # Only packet filters need it.
    ((EUID == 0)) || ! sudo -n true </dev/null 2>/dev/null || as_root=(sudo -n)
    said=$("${as_root[@]}" python3 -I -S run/inject.pyz heal run 2>&1 </dev/null) || unhealed=${said//$'\n'/ }
    [[ -z ${unhealed-} ]] || echo "unhealed $unhealed"
fi

# The pid may belong to another process by now, but a process group keeps its number after its leader has ended.
remains() {
    [[ ! -e /proc/$pid || $(field "$pid" 22) == "$start" ]] && kill -0 -- "-$pid" 2>/dev/null &&
        pgrep -g "$pid" -r D,I,R,S,T >/dev/null # zombies do not count
}

declare -A groups=() # of leftover processes, with the start time of their leaders
for file in run/supervisor.pid run/*/pid; do
    [[ -f $file ]] && read -r pid start <"$file" && remains && groups[$pid]=$start
done
# Processes that left their group still have the mark in their environment.
while IFS=/ read -r _ _ pid _; do
    pid=$(field "$pid" 5) && [[ -z ${groups[$pid]:-} ]] && groups[$pid]=$(field "$pid" 22)
done < <(grep -lzxF -- "GEOBENCH_RUN=$(pwd -P)/run" /proc/[0-9]*/environ 2>/dev/null)
echo "stale_processes ${#groups[@]}"
if [[ $leftovers != count ]]; then
    for pid in "${!groups[@]}"; do kill -KILL -- "-$pid"; done
    for pid in "${!groups[@]}"; do
        start=${groups[$pid]}
        for ((i = 0; i < 500; i++)); do remains || break; sleep 0.01; done
    done
fi
if [[ -e run && ! -f run/supervise.sh ]]; then
    [[ -d run && -z $(ls -A run) ]] || echo "foreign $(pwd -P)/run"
elif [[ $leftovers == remove && -z ${unhealed-} ]]; then
    rm -rf run
fi

echo "cpus $(nproc)"
echo "cpu_model $(lscpu 2>/dev/null | sed -n 's/^Model name: *//p' | head -n 1)"
# shellcheck disable=SC1091 # a file of the host
(. /etc/os-release && echo "os $PRETTY_NAME") 2>/dev/null
while read -r key value _; do
    case $key in MemTotal:) echo "memory_mb $((value / 1024))" ;; MemAvailable:) echo "memory_free_mb $((value / 1024))" ;; esac
done </proc/meminfo
read -r _ size _ free _ < <(df -Pk . | tail -n 1)
echo "disk_mb $((size / 1024))"
echo "disk_free_mb $((free / 1024))"
read -r _ _ _ free _ < <(df -Pk / | tail -n 1)
echo "root_free_mb $((free / 1024))"
[[ -r /etc/geobench/disk ]] && echo "disk $(</etc/geobench/disk)"
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
