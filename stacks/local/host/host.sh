#!/bin/sh
# Process 1 of a local host, in new namespaces: build the host's own view of the machine, then become its SSH server.
# Usage: host.sh DIRECTORY NAME PYTHON DISK. stacks/local/host/filesystem.py prepares DIRECTORY and its content; DISK is
# the folder where the host's disk is mounted, empty without one.
set -eu
directory=$1
name=$2
python=$3
disk=$4
enter=${0%/*}/enter.py

# /proc is still the machine's: record its pid and start time of this process, as a pid alone may be reused.
read -r stat </proc/self/stat
pid=${stat%% *}
set -- ${stat##*) }
shift 19
echo "$pid $1" >"$directory/process"

echo "$name" >/proc/sys/kernel/hostname
for family in all default; do
    [ ! -e /proc/sys/net/ipv6 ] || echo 1 >"/proc/sys/net/ipv6/conf/$family/disable_ipv6"
done

cd "$directory"
mount --all --fstab mounts
exec "$python" -I -S "$enter" "$disk"
