#!/usr/bin/env bash
# Print the folder of the layer that makes this machine's files the image of a cloud: what installing the packages of
# debian-packages-image.txt would change. The machine itself does not change. A layer is made again when the machine's
# packages have changed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/geobench
list=$here/debian-packages-image.txt
key=$(cat "$0" "$list" /var/lib/dpkg/status | sha256sum)
layer=$cache/cloud-image-${key:0:16}

mkdir -p "$cache"
exec 9>"$cache/cloud-image.lock"
flock 9
if [ ! -d "$layer" ]; then
    rm -rf "$cache"/cloud-image-*/ # those of older packages, and of a run that was killed
    work=$(mktemp -d "$cache/cloud-image-new.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    mkdir "$work/upper" "$work/work" "$work/root"
    chmod 755 "$work/upper"
    echo "cloud_image: installing packages into a layer over this machine's files, once" >&2
    # shellcheck disable=SC2016
    unshare --mount sh -euc '
        cd "$1"
        mount -t overlay overlay -o "lowerdir=/,upperdir=upper,workdir=work,redirect_dir=off,metacopy=off,index=off" root
        mount -t proc proc root/proc
        mount --rbind /dev root/dev
        install -m 755 "$3" root/usr/sbin/policy-rc.d
        export DEBIAN_FRONTEND=noninteractive
        chroot root apt-get update -q
        chroot root apt-get install -y -q --no-install-recommends $2
    ' sh "$work" "$(grep -v '^#' "$list" | xargs)" <(printf '#!/bin/sh\nexit 101\n') >"$cache/cloud-image.log" 2>&1 </dev/null || {
        tail -n 5 "$cache/cloud-image.log" >&2
        echo "cloud_image: could not install the packages; see $cache/cloud-image.log" >&2
        exit 1
    }
    rm -rf "$work"/upper/{usr/sbin/policy-rc.d,var/cache/apt,var/lib/apt/lists,var/log}
    mv "$work/upper" "$layer"
fi
echo "$layer"
