#!/usr/bin/env bash
# Install the Debian packages of tools/setup/debian-packages.txt, or of the list given, that are missing, and start none of
# their services.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
list=${1:-$here/debian-packages.txt}
policy=/usr/sbin/policy-rc.d

die() {
    echo "install_packages: $*" >&2
    exit 1
}

command -v apt-get >/dev/null || die "apt-get not found; this set-up needs Debian or Ubuntu"

missing=()
while read -r package; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done < <(grep -v '^#' "$list")
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "not root and no sudo; have root install: ${missing[*]}"
    exec sudo -- "$0" "$list"
fi

install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# Exit code 101 of this file is Debian's way to say "do not start services now". One that exists already is the machine's own rule.
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

echo "installing Debian packages: ${missing[*]}"
if ! install; then
    echo "trying again with fresh package lists"
    apt-get update -q
    install || die "apt-get could not install: ${missing[*]}"
fi

# cloud-init is for the machines of emulated clouds; here it would take this machine for one of them at the next boot.
case " ${missing[*]} " in *" cloud-init "*) touch /etc/cloud/cloud-init.disabled ;; esac

# Nor are they to start with the next boot: an SSH server that nobody asked for is an open door.
if command -v systemctl >/dev/null; then
    dpkg -L "${missing[@]}" | sed -nE 's#^.*/systemd/system/([^/@]*\.(service|socket|timer))$#\1#p' | sort -u |
        xargs -r systemctl disable --quiet || echo "install_packages: could not disable some of the new services" >&2
fi
