#!/bin/bash
# Prepare a cloud host (Ubuntu 24.04, or Debian) for a testbed. cloud-init runs this once, at the first boot; running it
# again changes nothing. Parameters are in /etc/geobench/bootstrap.env, progress is in /var/lib/geobench/state:
# `booting`, then `ready` or `failed: REASON`. Problems that stop no benchmark are in /var/lib/geobench/warnings.
set -eEuo pipefail
umask 022

CONFIG=/etc/geobench
STATE=/var/lib/geobench
# shellcheck source=/dev/null
. "$CONFIG/bootstrap.env"
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1

step=start
state() { printf '%s\n' "$1" >"$STATE/state.new" && mv "$STATE/state.new" "$STATE/state"; }
warn() { printf '%s\n' "$1" >>"$STATE/warnings"; }
fetch_packages() { apt-get -q -o Acquire::Retries=5 -o DPkg::Lock::Timeout=600 "$@"; }
# apt does not wait for the lock of its lists, which the image's own update may hold at the first boot.
list_packages() { for _ in {1..30}; do fetch_packages update && return; sleep 4; done; return 1; }
install_packages() { fetch_packages -y --no-install-recommends -o Dpkg::Options::=--force-confold install "$@"; }
# An interrupted boot leaves packages half unpacked or not configured; then apt fails or takes them for installed. dpkg
# does not wait for another installation, but a check does.
finish_packages() {
    local half
    fetch_packages check || dpkg --force-confold --configure -a || true  # the rest is repaired next
    half=$(dpkg-query -W -f '${db:Status-Eflag} ${binary:Package}\n' | sed -n 's/^reinstreq //p')
    # shellcheck disable=SC2086
    install_packages --fix-broken --reinstall $half
}
unit() { cat >"/etc/systemd/system/$1"; }

# The expiry comes first: whatever fails later, the host still terminates.
expiry() {
    [ -s "$STATE/expires_at" ] || echo $(($(date +%s) + TIME_TO_LIVE)) >"$STATE/expires_at"
    install_command geobench-expiry <<'SCRIPT'
#!/bin/sh
# geobench-expiry         print when this host terminates (seconds since 1970)
# geobench-expiry EPOCH   change it
# geobench-expiry check   terminate if that time has passed: a timer runs this every minute
set -eu
file=/var/lib/geobench/expires_at
case "${1:-}" in
    "") ;;
    check) [ "$(date +%s)" -lt "$(cat $file)" ] || systemctl poweroff; exit 0 ;;
    *[!0-9]*) echo "geobench-expiry: found '$1', expected seconds since 1970" >&2; exit 2 ;;
    *) echo "$1" >$file.new; sync; mv $file.new $file ;;
esac
cat $file
SCRIPT
    unit geobench-expiry.service <<'UNIT'
[Unit]
Description=Terminate this host if it has expired
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/geobench-expiry check
UNIT
    # Not in the first ten minutes after a boot: a host that expired while stopped can still be extended.
    unit geobench-expiry.timer <<'UNIT'
[Unit]
Description=Check every minute whether this host has expired
[Timer]
OnBootSec=10min
OnUnitActiveSec=1min
AccuracySec=1s
[Install]
WantedBy=timers.target
UNIT
    systemctl daemon-reload
    systemctl enable --now geobench-expiry.timer
}

# A first boot that was interrupted, as by a stop of the host, continues at the next one; cloud-init runs this only once.
resume() {
    unit geobench-bootstrap.service <<'UNIT'
[Unit]
Description=Finish the first boot of this host if it was interrupted
Wants=network-online.target
After=network-online.target
[Service]
Type=oneshot
ExecCondition=/bin/sh -c '! grep -qx ready /var/lib/geobench/state'
ExecStart=/usr/local/sbin/geobench-bootstrap
StandardOutput=append:/var/log/cloud-init-output.log
[Install]
WantedBy=multi-user.target
UNIT
    systemctl enable geobench-bootstrap.service
}

install_command() { cat >"/usr/local/sbin/$1" && chmod 0755 "/usr/local/sbin/$1"; }

# firewall.nft allows SSH from the operators; the runner adds the peers.
firewall() {
    command -v nft >/dev/null || { list_packages && finish_packages && install_packages nftables; }
    touch "$CONFIG/peers.nft"
    install_command geobench-peers <<'SCRIPT'
#!/bin/sh
# geobench-peers < LINES   allow inbound traffic from these hosts only, one ADDRESS per line; lines `operator NETWORK`,
#                          if any, replace the networks that may use SSH
set -eu
old=/etc/geobench/peers.nft
new=$(mktemp /etc/geobench/peers.XXXXXX)
trap 'rm -f "$new"' EXIT
flush='flush set inet geobench operators4; flush set inet geobench operators6'
while read -r line; do
    address=${line#operator }
    set=peers
    [ -n "$address" ] || continue
    if [ "$address" != "$line" ]; then
        set=operators
        [ -z "$flush" ] || echo "$flush"
        flush=
    fi
    case "$address" in
        *[!0-9a-fA-F.:/]*) echo "geobench-peers: found '$line', expected an IP address" >&2; exit 2 ;;
        *:*) set=${set}6 ;;
        *) set=${set}4 ;;
    esac
    echo "add element inet geobench $set { $address }"
done >"$new"
[ -z "$flush" ] || grep ' operators[46]' $old >>"$new" || true
cat /etc/geobench/firewall.nft "$new" | nft -c -f -
mv "$new" $old
exec geobench-firewall
SCRIPT
    install_command geobench-firewall <<'SCRIPT'
#!/bin/sh
# Load the rules in one transaction, so that no packet meets half of them. A host without them is open, so try again
# if the kernel is busy.
for _ in 1 2 3; do
    cat /etc/geobench/firewall.nft /etc/geobench/peers.nft | nft -f - && exit 0
    sleep 1
done
exit 1
SCRIPT
    unit geobench-firewall.service <<'UNIT'
[Unit]
Description=Allow inbound traffic from the operators and hosts of this testbed only
DefaultDependencies=no
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target
After=local-fs.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/geobench-firewall
[Install]
WantedBy=sysinit.target
UNIT
    systemctl daemon-reload
    systemctl enable --now geobench-firewall.service
    # Vultr's images have a second firewall that allows nothing but SSH; a packet would have to pass both.
    if grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf; then ufw disable; fi
}

ssh_server() {
    # A fan-out opens many connections at once; sshd's default rejects some of more than ten. The connection of an
    # operator whose machine vanished ends after a minute, and with it the processes started through it.
    cat >/etc/ssh/sshd_config.d/10-geobench.conf <<'CONF'
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 200:30:400
MaxSessions 100
UseDNS no
ClientAliveInterval 15
ClientAliveCountMax 4
CONF
    mkdir -p /run/sshd  # missing while sshd only waits for its first connection
    sshd -t
    systemctl reload-or-restart ssh
}

kernel() {
    # Buffers: 1 Gb/s over a round trip of 300 ms is 37.5 MB in flight. A pause must not shrink the window of a
    # long-distance connection. The congestion control stays the distribution's, for comparable numbers.
    cat >/etc/sysctl.d/60-geobench.conf <<'CONF'
net.core.somaxconn = 65535
net.core.netdev_max_backlog = 30000
net.core.rmem_max = 67108864
net.core.wmem_max = 67108864
net.ipv4.tcp_rmem = 4096 131072 67108864
net.ipv4.tcp_wmem = 4096 65536 67108864
net.ipv4.tcp_max_syn_backlog = 65535
net.ipv4.tcp_slow_start_after_idle = 0
net.ipv4.tcp_mtu_probing = 1
vm.max_map_count = 1048576
vm.swappiness = 1
fs.file-max = 4194304
fs.aio-max-nr = 1048576
CONF
    sysctl -q -e --load=/etc/sysctl.d/60-geobench.conf || warn "some kernel settings were rejected"
    cat >/etc/security/limits.d/60-geobench.conf <<'CONF'
*    - nofile  1048576
root - nofile  1048576
*    - memlock unlimited
*    - nproc   unlimited
CONF
    mkdir -p /etc/systemd/system.conf.d
    printf '[Manager]\nDefaultLimitNOFILE=1048576\nDefaultLimitMEMLOCK=infinity\n' >/etc/systemd/system.conf.d/60-geobench.conf
    systemctl daemon-reexec
}

# Upgrades in the background would appear as outliers in latencies.
quiet() {
    for noise in apt-daily.timer apt-daily-upgrade.timer unattended-upgrades.service motd-news.timer \
        fwupd-refresh.timer man-db.timer snapd.seeded.service snapd.socket snapd.service; do
        systemctl disable --now "$noise" 2>/dev/null || true
    done
}

clock() {
    install_packages chrony
    if [ "$PROVIDER" = aws ]; then
        # Amazon's time source, one hop away: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/set-time.html
        mkdir -p /etc/chrony/conf.d
        echo 'server 169.254.169.123 prefer iburst minpoll 4 maxpoll 4' >/etc/chrony/conf.d/geobench.conf
    fi
    systemctl enable chrony
    systemctl restart chrony
}

# The disk is blank after each stop of the host, so it is set up at each boot. Of several disks the first is used.
local_disk() {
    install_command geobench-disk <<'SCRIPT'
#!/bin/sh
set -eu
. /etc/geobench/bootstrap.env
# A benchmark on another disk than configured would measure something else, so without it the host is not ready.
state=/var/lib/geobench/state
failed="failed: local disk; see journalctl -u geobench-disk"
trap 'if [ $? != 0 ]; then echo "$failed" >$state; elif grep -qxF "$failed" $state; then echo ready >$state; fi' EXIT
cd "$(getent passwd "$LOGIN" | cut -d: -f6)"
folder=$(realpath -m "$WORKING_DIR")
mountpoint -q "$folder" && exit 0
for link in /dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_*; do
    [ -b "$link" ] || continue
    disk=$(readlink -f "$link")
    blkid "$disk" >/dev/null || mkfs.ext4 -q -E nodiscard "$disk"
    install -d -o "$LOGIN" -g "$LOGIN" "$folder"
    # Without noinit_itable the kernel writes the inode tables in the background, during the first runs.
    mount -o noatime,noinit_itable "$disk" "$folder"
    chown "$LOGIN:$LOGIN" "$folder"
    exit 0
done
SCRIPT
    unit geobench-disk.service <<'UNIT'
[Unit]
Description=Mount the local NVMe disk as the folder of benchmarks
After=local-fs.target systemd-udev-settle.service
Wants=systemd-udev-settle.service
Before=ssh.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/geobench-disk
[Install]
WantedBy=multi-user.target
UNIT
    systemctl daemon-reload
    systemctl enable --now geobench-disk.service
}

drop_in() { mkdir -p "/etc/systemd/system/$1.service.d" && cat >"/etc/systemd/system/$1.service.d/geobench.conf"; }

prometheus() {
    drop_in prometheus <<CONF
[Service]
EnvironmentFile=$CONFIG/prometheus.env
CONF
    install_packages prometheus
    # The runner writes the scrape targets, and the times that dashboards mark.
    chown "$LOGIN" /etc/prometheus/targets /var/lib/prometheus/node-exporter
    systemctl enable prometheus
    systemctl restart prometheus
    curl -fsS --max-time 5 --retry 30 --retry-delay 1 --retry-all-errors http://127.0.0.1:9090/-/ready
}

# Grafana also publishes retired keys: only the key known here is kept, and apt checks every package against it.
grafana() {
    local keys key=/etc/apt/keyrings/grafana.gpg found
    install_packages gpg || return 1
    keys=$(mktemp -d)
    curl -fsS --retry 5 --max-time 60 -o "$keys/published" "$GRAFANA_KEY_URL" || return 1
    gpg --homedir "$keys" --dearmor <"$keys/published" >"$keys/ring" || return 1
    gpg --homedir "$keys" --no-default-keyring --keyring "$keys/ring" --export "$GRAFANA_KEY" >"$keys/known"
    # A key found by its fingerprint may be a part of someone else's.
    if [ "$(fingerprints "$keys/known")" != "$GRAFANA_KEY" ]; then
        found=$(fingerprints "$keys/ring" | xargs)
        warn "the keys of Grafana's packages are ${found:-none}, expected $GRAFANA_KEY"
        return 1
    fi
    install -D -m 0644 "$keys/known" "$key"
    rm -r "$keys"
    echo "deb [signed-by=$key] $GRAFANA_REPOSITORY stable main" >/etc/apt/sources.list.d/grafana.list
    drop_in grafana-server <<CONF
[Service]
EnvironmentFile=$CONFIG/grafana.env
CONF
    fetch_packages update && install_packages grafana || return 1
    systemctl enable grafana-server
    systemctl restart grafana-server
    for _ in {1..90}; do
        curl -fsS --max-time 5 http://127.0.0.1:3000/api/health && return
        systemctl is-failed --quiet grafana-server && break
        sleep 1
    done
    warn "Grafana does not answer; see journalctl --unit=grafana-server"
}

fingerprints() {
    gpg --homedir "$(dirname "$1")" --show-keys --with-colons "$1" |
        awk -F: '$1 == "pub" {p = 1} $1 == "fpr" && p {print $10; p = 0}'
}

main() {
    mkdir -p "$STATE"
    rm -f "$STATE/warnings"
    trap 'state "failed: $step; see /var/log/cloud-init-output.log"' ERR
    state booting
    for step in expiry resume firewall ssh_server kernel quiet; do "$step"; done
    step=packages
    list_packages
    finish_packages
    install_packages ca-certificates curl prometheus-node-exporter
    systemctl enable --now prometheus-node-exporter
    step=clock && clock
    if [ "$NVME" = yes ]; then step=local_disk && local_disk; fi
    if [ "$MONITORING" = yes ]; then
        step=prometheus && prometheus
        # Results do not depend on Grafana: without it the host is still ready.
        grafana || { rm -f /etc/apt/sources.list.d/grafana.list && warn "Grafana was not installed"; }
    fi
    trap - ERR
    state ready
}

exec {lock}>/run/geobench-bootstrap.lock
flock "$lock"
main "$@"
