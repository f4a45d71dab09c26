#!/usr/bin/env bash
# Sets up a user's own machine for measurements: a node exporter, and on the monitoring host a Prometheus that reads the
# runner's target files. Runs as root. Anything the user has set up there is left alone.
# usage: machine.sh inspect|set-up LOGIN MONITORING INTERVAL_MS [ADDRESS…]
#   MONITORING is 1 or 0; the addresses are those of the testbed's other hosts
#   inspect changes nothing and prints what is missing, one per line: `missing PACKAGE`, `set-up`, `problem TEXT`
set -u
export LC_ALL=C
cd /
mode=$1 login=$2 monitoring=$3 interval=$4

TARGETS=/etc/prometheus/targets
MARKS=/var/lib/prometheus/node-exporter
CONFIG=/etc/geobench/prometheus.yml
STORAGE=/var/lib/prometheus/geobench
DROP_IN=/etc/systemd/system/prometheus.service.d/geobench.conf

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
get() { # PORT PATH: prints the answer of an HTTP server on this machine
    (exec 3<>"/dev/tcp/127.0.0.1/$1" && printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3 &&
        timeout 5 cat <&3) 2>/dev/null | tr -d '\0'
}
# grep without -q reads the whole answer: servers log clients that disconnect early.
exports() { get 9100 /metrics | grep '^node_cpu_seconds_total' >/dev/null; }
# A Prometheus with other jobs does not qualify: their names could collide with the runner's.
watches() {
    local config
    config=$(get 9090 /api/v1/status/config)
    [[ $config == *"$TARGETS"* && $(grep -o job_name <<<"$config" | wc -l) == 1 ]]
}
installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q ' installed$'; }
writable() { [[ $login == root || $(stat -c %U "$1" 2>/dev/null) == "$login" ]] && [[ -d $1 ]]; }

configuration() {
    cat <<CONF
global:
  scrape_interval: ${interval}ms
  scrape_timeout: $((interval < 10000 ? interval : 10000))ms
scrape_configs:
- job_name: testbed
  honor_timestamps: false
  file_sd_configs:
  - files:
    - $TARGETS/*.json
    refresh_interval: 1m
CONF
}

drop_in() {
    cat <<CONF
[Service]
Environment="ARGS=--config.file=$CONFIG --storage.tsdb.path=$STORAGE --storage.tsdb.retention.time=30d \
--storage.tsdb.retention.size=10GB --web.listen-address=127.0.0.1:9090 --web.enable-admin-api --web.enable-lifecycle"
EnvironmentFile=
CONF
}

# The scrape interval in the settings may have changed.
outdated() { [[ -e $DROP_IN ]] && ! cmp -s "$CONFIG" <(configuration); }

missing=()
need() { installed "$1" || missing+=("$1"); }

inspect() {
    local todo=0
    # python3-minimal is not enough: the load generator needs json.
    python3 -I -S -c 'import json' 2>/dev/null || need python3
    command -v ss >/dev/null || need iproute2
    command -v pgrep >/dev/null || need procps
    if ! exports; then
        todo=1
        need prometheus-node-exporter
        answers 9100 && echo "problem port 9100 is in use by something other than a node exporter;" \
            "find it with \`sudo ss -ltnp 'sport = :9100'\` on the machine, then stop it or move it to another port"
    fi
    if ((monitoring)); then
        if ! watches; then
            todo=1
            need prometheus
            answers 9090 && foreign
        elif outdated || ! writable $TARGETS || ! writable $MARKS; then
            todo=1
        fi
    fi
    ((todo)) && echo set-up
    reach "${@:5}"
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || echo "problem it has no apt-get: install ${missing[*]} yourself"
    printf 'missing %s\n' "${missing[@]}"
}

foreign() {
    echo "problem port 9090 is in use by something other than a Prometheus for testbeds. If you do not need it, stop it" \
        "(a Prometheus: \`sudo systemctl disable --now prometheus\`); the next run then starts one with its own" \
        "configuration. Otherwise list another machine first in the settings"
}

# A closed port refuses connections immediately; most firewalls drop them silently.
reach() { # ADDRESS…
    local address lost
    # shellcheck disable=SC2016 # the inner shell's own variable
    mapfile -t lost < <(for address; do
        { said=$(timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/9100"' "$address" 2>&1) || [[ $said == *refused* ]] ||
            echo "$address"; } &
    done; wait)
    ((${#lost[@]})) && echo "problem it cannot reach ${#lost[@]} of $# other hosts (${lost[*]:0:3}) on port 9100:" \
        "hosts must reach each other on every port; check the firewalls on and between them"
}

wait_until() { # SECONDS COMMAND
    local i
    for ((i = 0; i < $1 * 10; i++)); do "$2" && return; sleep 0.1; done
    return 1
}

started() { # UNIT CHECK
    wait_until 30 "$2" && return
    echo "$1 was started but does not answer as expected:" >&2
    journalctl -u "$1" -n 3 -o cat --no-pager >&2
    exit 1
}

set_up() {
    set -e
    if ! exports; then
        systemctl enable --quiet --now prometheus-node-exporter
        started prometheus-node-exporter exports
    fi
    ((monitoring)) || return 0
    install -d "${CONFIG%/*}" "${DROP_IN%/*}"
    install -d -o "$login" "$TARGETS" "$MARKS"
    watches && [[ ! -e $DROP_IN ]] && return 0 # a Prometheus for testbeds that was not set up by this script
    install -d -o prometheus -g prometheus "$STORAGE"
    configuration >$CONFIG
    drop_in >$DROP_IN
    systemctl daemon-reload
    systemctl enable --quiet prometheus
    systemctl restart prometheus
    started prometheus watches
}

case $mode in
    inspect) inspect "$@" ;;
    set-up) set_up ;;
esac
