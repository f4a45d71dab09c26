#!/bin/sh
# Process 1 of a local host, in new namespaces: build the host's own view of the machine, then become its SSH server.
# Usage: host.sh DIRECTORY NAME. DIRECTORY and its content are prepared by stacks/local/host/filesystem.py.
set -eu
directory=$1
name=$2

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
cd root
pivot_root . .
umount --lazy .
cd /

ulimit -n "$(ulimit -H -n)"
ip link set lo up
nft --file /etc/nftables.conf
. /etc/geobench/services

# Processes that services leave behind become children of sshd, which reaps every child. Whoever logs in cannot change
# the machine's clock or kernel modules.
exec setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config
