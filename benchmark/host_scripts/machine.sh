#!/usr/bin/env bash
# Gives a machine that the user already has what measurements need: a node exporter, and if it is the monitoring host a
# Prometheus that watches for the runner's targets. Runs as root. What the user has set up there is left alone.
# usage: machine.sh look|set-up LOGIN MONITORING INTERVAL_MS [ADDRESS…]; MONITORING is 1 or 0, the addresses are those
#   of the testbed's other hosts
#   look changes nothing and prints what there is to do: `lacks PACKAGE`, `set-up`, `problem TEXT`, a line each
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
get() { # PORT PATH: what an HTTP server of this machine answers
    (exec 3<>"/dev/tcp/127.0.0.1/$1" && printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3 &&
        timeout 5 cat <&3) 2>/dev/null | tr -d '\0'
}
# The whole answer is read: a server whose client leaves early writes it into its log.
exports() { get 9100 /metrics | grep '^node_cpu_seconds_total' >/dev/null; }
# Of other jobs than the runner's there is none: their names could be the same.
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

# The interval of the settings may have changed since.
outdated() { [[ -e $DROP_IN ]] && ! cmp -s "$CONFIG" <(configuration); }

lacking=()
need() { installed "$1" || lacking+=("$1"); }

look() {
    local todo=0
    command -v python3 >/dev/null || need python3-minimal
    command -v ss >/dev/null || need iproute2
    command -v pgrep >/dev/null || need procps
    if ! exports; then
        todo=1
        need prometheus-node-exporter
        answers 9100 && echo "problem port 9100 is in use by something else than a node exporter;" \
            "\`sudo ss -ltnp 'sport = :9100'\` on the machine shows what: end it, or have it listen elsewhere"
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
    ((${#lacking[@]})) || return 0
    command -v apt-get >/dev/null || echo "problem it has no apt-get: install ${lacking[*]} yourself"
    printf 'lacks %s\n' "${lacking[@]}"
}

foreign() {
    echo "problem port 9090 is in use by something else than a Prometheus for testbeds. If you do not need it, end it" \
        "(a Prometheus with \`sudo systemctl disable --now prometheus\`), and the next run starts one with a" \
        "configuration of its own; otherwise list another machine first in the settings"
}

# A port where nothing listens yet refuses at once; a firewall mostly says nothing.
reach() { # ADDRESS…
    local address lost
    # shellcheck disable=SC2016 # the inner shell's own variable
    mapfile -t lost < <(for address; do
        { said=$(timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/9100"' "$address" 2>&1) || [[ $said == *refused* ]] ||
            echo "$address"; } &
    done; wait)
    ((${#lost[@]})) && echo "problem it cannot reach ${#lost[@]} of $# other hosts (${lost[*]:0:3}) on port 9100:" \
        "they must reach each other on every port; look at the firewalls on and between them"
}

wait_until() { # SECONDS COMMAND
    local i
    for ((i = 0; i < $1 * 10; i++)); do "$2" && return; sleep 0.1; done
    return 1
}

started() { # UNIT CHECK
    wait_until 30 "$2" && return
    echo "$1 was started but does not answer as it should:" >&2
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
    watches && [[ ! -e $DROP_IN ]] && return 0 # started in another way, for testbeds
    install -d -o prometheus -g prometheus "$STORAGE"
    configuration >$CONFIG
    drop_in >$DROP_IN
    systemctl daemon-reload
    systemctl enable --quiet prometheus
    systemctl restart prometheus
    started prometheus watches
}

case $mode in
    look) look "$@" ;;
    set-up) set_up ;;
esac
