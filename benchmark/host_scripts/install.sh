#!/usr/bin/env bash
# Installs Debian packages, as root, and lets none of their services run: now they would take the ports of the nodes that
# a run starts, and from the next boot on those of every later run. Services that were there before stay as they are.
# usage: install.sh PACKAGE…
set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d

# --root: on files alone. A host of namespaces would otherwise ask the machine that it runs on.
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
