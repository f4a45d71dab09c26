#!/usr/bin/env bash
# Install the missing Debian packages of a list, and leave the machine's services as they were.
# usage: install_packages.sh [--missing] [LIST]
# LIST defaults to debian-packages.txt beside this script. --missing prints the missing packages and installs nothing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
only_list=''
if [ "${1:-}" = --missing ]; then only_list=yes && shift; fi
list=${1:-$here/debian-packages.txt}
policy=/usr/sbin/policy-rc.d

die() {
    echo "install_packages: $*" >&2
    exit 1
}

command -v apt-get >/dev/null || die "apt-get not found; the set-up needs Debian or Ubuntu"

missing=()
while read -r package; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done < <(grep -v '^#' "$list")
[ ${#missing[@]} -gt 0 ] || exit 0
if [ -n "$only_list" ]; then echo "${missing[*]}" && exit; fi

if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "not root, and sudo not found; as root, run: apt-get install ${missing[*]}"
    exec sudo -- "$0" "$list"
fi

# Packages bring services that start with the next boot; an unrequested SSH server would be a security risk. What is
# enabled are links, also where no systemd is installed or another init system runs.
enabled() {
    find /etc/systemd/system /etc/rc?.d -type l ! -name 'K*' 2>/dev/null | sort
}

clean_up() {
    local link
    [ -z "${made_policy:-}" ] || rm -f "$policy"
    comm -13 <(echo "$before") <(enabled) | while read -r link; do
        case $link in
        /etc/rc*) mv "$link" "${link%/*}/K${link##*/S}" ;; # as `update-rc.d NAME disable` does
        *) rm "$link" ;;
        esac
    done
}

install() {
    # --no-remove: a package that replaces one of the machine's, as chrony replaces systemd-timesyncd, is an error.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --no-remove "${missing[@]}"
}

before=$(enabled)
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# Exit code 101 of this file makes Debian's scripts start no service. An existing file is the machine's own policy.
if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

echo "installing Debian packages: ${missing[*]}"
if ! install; then
    echo "trying again with fresh package lists"
    apt-get update -q
    install || die "apt-get could not install: ${missing[*]}"
fi
