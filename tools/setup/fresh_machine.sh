#!/usr/bin/env bash
# Make a minimal Debian root, clone this checkout's HEAD into it, set it up and run its tests there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}

usage() {
    cat <<'END'
usage: tools/setup/fresh_machine.sh [OPTION]... [unit|demo|user|all]
       tools/setup/fresh_machine.sh [OPTION]... -- COMMAND

Make a minimal Debian root of this machine's release, with nothing but make and Python, and
clone the checkout's HEAD into it. Run there, as root:
  unit     make setup unit (default)
  demo     first_contact.sh: the commands of README.md, and what they changed
  user     the same as a user who may use sudo
  all      make setup demo, destroy the testbed, make test
  COMMAND  a shell command, in the clone; nothing is set up before

  --commit REVISION  clone this revision instead of HEAD
  --folder FOLDER    folder of the root [default: ~/.cache/geobench-fresh]
  --keep             keep the root afterwards
  --reuse            use the root that --keep left, as it is
  --build-cli        build the Pulumi CLI instead of copying it from ~/.cache/geobench

The root shares this machine's kernel, its Go installation (read-only) and its settings of apt, pip and Go: sources,
proxies, certificates. It has a separate network, which reaches what this machine reaches. Its processes, mounts and
network end with this script.
END
}

die() {
    echo "fresh_machine: $*" >&2
    exit 1
}

report() {
    printf '== fresh machine: %s, after %d s\n' "$1" "$SECONDS"
}

folder=$cache/geobench-fresh commit=HEAD keep='' reuse='' build_cli='' part=unit command=''
arguments=("$@")
while [ $# -gt 0 ]; do
    case $1 in
    --commit) commit=${2:?--commit needs a revision} && shift ;;
    --folder) folder=${2:?--folder needs a folder} && shift ;;
    --keep) keep=yes ;;
    --reuse) reuse=yes ;;
    --build-cli) build_cli=yes ;;
    -h | --help) usage && exit ;;
    --) shift && part=command command=$* && break ;;
    unit | demo | user | all) part=$1 ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift
done
destroy='. ./env.sh && pulumi destroy --yes --stack dev'
case $part in
unit) command='make setup unit' limit=1800 ;;
demo | user) command=tools/setup/first_contact.sh limit=1800 ;;
all) command="make setup demo && $destroy && make test" limit=7200 ;;
command) limit=7200 ;;
esac
[ "$(id -u)" = 0 ] || die "needs root to make and enter a root; run: sudo -E $0"
# All mounts are made in a mount namespace of this script: they end with it, however it ends.
[ -n "${GEOBENCH_FRESH_MOUNTS:-}" ] ||
    GEOBENCH_FRESH_MOUNTS=yes exec unshare --mount --propagation private "$0" "${arguments[@]}"

"$here/install_packages.sh" "$here/debian-packages-fresh-machine.txt"
revision=$(git -C "$checkout" rev-parse --verify --quiet "$commit^{commit}") || die "no commit $commit in $checkout"
(umask 077 && mkdir -p "$folder")
exec 9>"$folder/lock"
flock --nonblock 9 || die "another fresh_machine.sh uses $folder; wait for it, or pass --folder"
root=$folder/root
user=root home=/root packages=ca-certificates,make,python3
if [ "$part" = user ]; then user=ann home=/home/ann packages+=,sudo; fi
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)

# shellcheck disable=SC2329
clean_up() {
    local job
    for job in $(jobs -p); do
        kill -KILL "$job" 2>/dev/null || true
        wait "$job" 2>/dev/null || true
    done
    if [ -n "$keep" ]; then echo "fresh_machine: kept $root"; else rm -rf --one-file-system "$root"; fi
}
if [ -n "$reuse" ]; then
    [ -d "$root$home/geobench" ] || die "no root in $folder; make one with --keep"
else
    rm -rf --one-file-system "$root"
fi
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Run a command with separate mounts and processes that all end with this script, even if it is killed.
isolated() {
    exec setpriv --pdeathsig KILL -- unshare --mount --propagation private --pid --fork --kill-child "$@" 9>&-
}

make_root() {
    local file sources=()
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        if grep -qsw "$release" "$file"; then sources+=("$file"); fi
    done
    apt-config dump | grep -E '^Acquire::(https?|Check|Retries)' >"$folder/apt.conf" || true
    isolated --mount-proc timeout 900 mmdebstrap --quiet --mode=root --variant=minbase \
        --include=$packages --aptopt="$folder/apt.conf" "$release" "$root" "${sources[@]}" &
    wait $! || die "mmdebstrap could not make $root"
    file=/usr/local/share/ca-certificates
    if compgen -G "$file/*.crt" >/dev/null; then
        cp "$file"/*.crt "$root$file/"
        chroot "$root" update-ca-certificates >/dev/null 2>&1
    fi
    if [ "$user" != root ]; then
        chroot "$root" useradd --create-home --shell /bin/bash "$user"
        echo "$user ALL=(ALL) NOPASSWD:ALL" >"$root/etc/sudoers.d/$user"
    fi
    for file in /etc/pip.conf ~/.config/pip/pip.conf ~/.pip/pip.conf ~/.config/go/env; do
        if [ -f "$file" ]; then install -D -m 600 "$file" "$root${file/#$HOME/$home}"; fi
    done
    printf '127.0.0.1 localhost\n127.0.1.1 fresh\n' >"$root/etc/hosts"
    echo 'nameserver 10.0.2.3' >"$root/etc/resolv.conf" # slirp4netns forwards to this machine's resolver
    echo fresh >"$root/etc/hostname"
}

clone() {
    git -c advice.detachedHead=false clone --quiet --no-local "$checkout" "$root$home/geobench"
    git -C "$root$home/geobench" -c advice.detachedHead=false checkout --quiet "$revision"
    if [ -z "$build_cli" ] && compgen -G "$cache/geobench/pulumi-*/bin/pulumi" >/dev/null; then
        mkdir -p "$root$home/.cache/geobench"
        cp -a "$cache"/geobench/pulumi-* "$root$home/.cache/geobench/"
    fi
    chroot "$root" chown -R "$user:" "$home"
}

# shellcheck disable=SC2329
# Runs as process 1 of the fresh machine: enters the root for good and runs the command there.
enter() {
    local root=$1 go=$2 seconds=$3 command=$4 user=$5 home=$6 name variables=()
    mount --bind "$root" "$root"
    cd "$root"
    mount -t proc proc proc
    mount --rbind /sys sys
    mount --rbind /dev dev
    mount -t tmpfs -o mode=0755 tmpfs run
    if [ -n "$go" ]; then
        mkdir -p usr/local/go
        mount --bind -o ro "$go" usr/local/go
    fi
    hostname fresh
    ip link set lo up
    for name in $(compgen -e | grep -Eix '(https?|all|no|ftp)_proxy|pip_.*|go(proxy|flags|sumdb|private|no.*)|ssl_cert_.*|ci|duration|term'); do
        variables+=("$name=${!name}")
    done
    for name in ${PIP_FIND_LINKS:-}; do
        if [ -d "$name" ]; then mkdir -p ".$name" && mount --bind -o ro "$name" ".$name"; fi
    done
    mkdir -p old
    pivot_root . old
    cd /
    umount --lazy old
    rmdir old
    cd "$home/geobench"
    # Not exec: process 1 has to reap orphans, which bash does while it waits.
    setpriv --reuid "$user" --regid "$user" --init-groups -- env -i HOME="$home" USER="$user" LANG=C.UTF-8 GEOBENCH_FRESH_MACHINE=yes "${variables[@]}" \
        PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        timeout --kill-after=60 "$seconds" bash -euo pipefail -c "$command" &
    wait $!
}

run() {
    local network=$folder/network go=''
    touch "$network"
    unshare --net="$network" true || die "could not make a network namespace"
    isolated slirp4netns --configure --mtu=65520 --disable-host-loopback --netns-type=path "$network" eth0 \
        >"$folder/network.log" 2>&1 &
    if command -v go >/dev/null; then go=$(go env GOROOT); fi
    isolated nsenter --net="$network" -- unshare --ipc --uts -- \
        bash -euo pipefail -c "$(declare -f enter); enter \"\$@\"" enter "$root" "$go" "$limit" "$command" "$user" "$home" \
        </dev/null &
    wait $!
}

if [ -z "$reuse" ]; then
    make_root
    clone
    report "made a minimal Debian $release with commit ${revision:0:7}"
fi
run && status=0 || status=$?
report "$command: exit code $status"
exit "$status"
