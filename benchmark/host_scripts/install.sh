#!/usr/bin/env bash
# Installs Debian packages, as root, without starting or enabling their services, which would occupy the ports of the
# nodes that runs start. Services that exist already are not changed. usage: install.sh PACKAGE…
# Prints `PACKAGE VERSION` for each.
set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d

# --root makes systemctl read files only; on a host made of namespaces it would otherwise query the machine below.
enabled() { systemctl --root=/ list-unit-files --state=enabled --no-legend | cut -d ' ' -f 1 | sort; }
disable_new() { comm -13 <(echo "$before") <(enabled) | xargs -r systemctl --root=/ disable; }

before=$(enabled)
trap disable_new EXIT
if [ ! -e $policy ]; then
    trap 'rm -f $policy; disable_new' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
apt-get update -qq >&2
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=600 "$@" >&2
dpkg-query -W -f '${Package} ${Version}\n' "$@"
