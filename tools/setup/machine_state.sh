#!/usr/bin/env bash
# Print what set-up could change on this machine, a line each: packages, accounts, what starts at boot or by a timer,
# and running programs. The difference between two lists shows what was changed in between.
set -euo pipefail

dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' | sed -n 's/^installed /package /p'
cut -d : -f 1 /etc/passwd | sed 's/^/account /'
# What systemd starts, and what other init systems start: units and scripts are enabled by links.
find /etc/systemd/system /etc/rc?.d -type l ! -name 'K*' -printf 'enabled %p\n' 2>/dev/null || true
find /etc/cron* -type f ! -name .placeholder -printf 'cron %p\n' 2>/dev/null || true
# Timers do not run where systemd does not.
if [ -d /run/systemd/system ]; then systemctl list-timers --all --no-legend | awk '{ print "timer", $(NF - 1) }'; fi
for file in /proc/[0-9]*/exe; do
    if name=$(readlink "$file"); then echo "running $name"; fi
done
