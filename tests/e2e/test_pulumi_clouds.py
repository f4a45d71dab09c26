"""A testbed over two clouds under the real pulumi, from creation to destruction."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial

import pytest
import requests
from fakes.emulated_clouds import (
    SECRETS,
    SETTINGS,
    Clouds,
    connects,
    emulated_clouds,
    holding,
    reaches,
    watched_commands,
    words_on,
)
from fakes.emulators.site import AWS_SECRET, TOKEN
from fakes.runner import Runner
from waiting import wait_for

pytestmark = pytest.mark.e2e

REPOSITORY_TOKEN = "REP0SITORY-T0KEN-0F-THE-TESTS"


@pytest.fixture(scope="module")
def commands() -> Iterator[set[bytes]]:
    """The command lines and environments of all that runs from the first `pulumi up` on."""
    with watched_commands() as seen:
        yield seen


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory, commands: set[bytes]) -> Iterator[Clouds]:
    repository = f"repository: {{{{url: 'https://me:{REPOSITORY_TOKEN}@git.example/system', commit: main}}}}\n"
    with emulated_clouds(tmp_path_factory.mktemp("clouds"), "clouds", SETTINGS + repository) as made:
        made.stack.up()
        yield made


def test_up_creates_a_testbed_over_two_clouds(clouds: Clouds) -> None:
    inventory = clouds.stack.inventory()
    assert [(host.provider, host.name, host.role, host.state) for host in inventory.hosts] == [
        ("aws", "us-east-1-0", "monitoring", "running"),
        ("aws", "us-east-1-1", "instance", "running"),
        ("vultr", "ewr-0", "instance", "running"),
        ("vultr", "ewr-1", "instance", "running"),
    ]
    assert {host.address for host in inventory.hosts} == {machine.address for machine in clouds.machines.values()}
    assert inventory.expires_at is not None
    assert inventory.hourly_cost_usd == pytest.approx(2 * (0.504 + 0.005 + 100 * 0.088 / 730) + 2 * 40 / 672, abs=1e-5)


def test_every_host_matches_its_order(clouds: Clouds) -> None:
    clouds.wait_until_ready()
    for host in clouds.stack.inventory().hosts:
        assert clouds.ssh(host, "hostname; cat /var/lib/geobench/state") == f"{host.name}\nready"


def test_hosts_reach_each_other_once_admitted(clouds: Clouds) -> None:
    clouds.wait_until_ready()
    hosts = clouds.stack.inventory().hosts
    machines = {machine.address: machine for machine in clouds.machines.values()}
    ways = [(a, b) for a in hosts for b in hosts if a != b]
    for host in hosts:
        clouds.ssh(host, "echo | sudo geobench-peers")
    assert not any(connects(machines[a.address], b.address, 9100) for a, b in ways[:3])
    named = "\\n".join(host.address for host in hosts)
    for host in hosts:
        clouds.ssh(host, f"printf '{named}\\n' | sudo geobench-peers")
    for a, b in ways:
        wait_for(partial(connects, machines[a.address], b.address, 9100), f"{a.name} reaches {b.name}")
    assert not any(reaches(host.address, 9100) for host in hosts)  # nor does the operator, but for SSH


def test_benchmark_runs_on_hosts_of_two_clouds(clouds: Clouds, commands: set[bytes]) -> None:
    clouds.wait_until_ready()
    status = json.loads(clouds.benchmark("status", "--json"))
    assert status["hosts"] == {host.name: "ready" for host in clouds.stack.inventory().hosts}
    assert set(status["expires_at"]) == set(status["hosts"])
    assert 0 < status["cost_so_far_usd"] < status["cost_until_expiry_usd"]
    found = clouds.measure("--protocol", "etcd", "--loads", "200", "--duration", "8s", "--warm-up", "3s")
    assert holding(commands, "--loads")
    assert (found["protocol"], found["nodes"], found["requested_tps"], found["errors"]) == ("etcd", 3, 200, {})
    assert found["completed_tps"] == pytest.approx(200, rel=0.1)
    texts = [path.read_bytes() for path in clouds.stack.project.glob("results/**/*") if path.is_file()]
    assert holding(texts, "etcd")
    assert not holding(texts, *SECRETS, REPOSITORY_TOKEN)


def test_changed_host_key_is_rejected(clouds: Clouds) -> None:
    clouds.wait_until_ready()
    machine = clouds.machines["ewr-1"]
    swap = "cd /etc/ssh && mkdir -p /root/kept && mv ssh_host_ed25519_key* /root/kept && {} && systemctl restart ssh"
    made = machine.enter(["sh", "-c", swap.format("ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key")])
    assert made.returncode == 0, made.stderr
    try:
        shown = " ".join(clouds.benchmark("run", "--protocol", "etcd", "--loads", "200", exit_code=3).split())
        assert "ewr-1: " in shown
        assert "found the host key ssh-ed25519 " in shown
        assert f"the inventory pins {clouds.stack.inventory().host('ewr-1').host_key}" in shown
        assert "run `pulumi refresh` and `pulumi up` to read its new key; otherwise" in shown
        assert "ewr-0" not in shown
        assert json.loads(clouds.benchmark("status", "--json", exit_code=3))["hosts"]["ewr-1"] == "unreachable"
    finally:
        machine.enter(["sh", "-c", "mv /root/kept/* /etc/ssh && systemctl restart ssh"])
    clouds.wait_until_ready()


@contextmanager
def dashboards(clouds: Clouds) -> Iterator[tuple[str, str]]:
    """What `grafana` leads to and at which address, until it is interrupted."""
    process = Runner(clouds.stack).start("grafana")
    assert process.stdout
    try:
        what, _, address = process.stdout.readline().removesuffix(" (Ctrl-C closes the tunnel)\n").partition(": ")
        yield what, address
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (130, False), err
    assert ("so this is its Prometheus" in err) == (what == "prometheus")
    with pytest.raises(requests.ConnectionError):
        requests.get(address, timeout=10)


def test_tunnel_to_the_dashboards_stays_open_until_interrupted(clouds: Clouds) -> None:
    clouds.wait_until_ready()
    host = clouds.machines["us-east-1-0"]
    with dashboards(clouds) as (what, address):
        assert what == "prometheus"  # the emulated clouds have no Grafana
        assert requests.get(f"{address}/-/ready", timeout=10).text == "Prometheus Server is Ready.\n"
    folder = host.path("/srv/grafana")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text("a page")
    serve = ["python3", "-m", "http.server", "3000", "--bind=127.0.0.1", "--directory=/srv/grafana"]
    begun = host.enter(["systemd-run", "--unit=page", "--collect", "--quiet", *serve])
    assert begun.returncode == 0, begun.stderr
    try:
        wait_for(lambda: ":3000 " in host.enter(["ss", "-ltn"]).stdout, "the page is served")
        with dashboards(clouds) as (what, address):
            assert (what, requests.get(address, timeout=10).text) == ("grafana", "a page")
    finally:
        host.enter(["systemctl", "stop", "page"])


def test_extend_postpones_expiry_without_pulumi(clouds: Clouds) -> None:
    clouds.wait_until_ready()
    before = json.loads(clouds.benchmark("status", "--json"))["expires_at"]
    assert "4 hosts terminate automatically at" in clouds.benchmark("extend", "4h")
    after = json.loads(clouds.benchmark("status", "--json"))["expires_at"]
    latest = max(datetime.fromisoformat(end) for end in before.values())
    assert {datetime.fromisoformat(end) for end in after.values()} == {latest + timedelta(hours=4)}
    for machine in clouds.machines.values():
        assert machine.enter(["geobench-expiry"]).stdout == f"{latest.timestamp() + 4 * 3600:.0f}\n"


def test_expired_host_is_shown_with_the_command_to_run(clouds: Clouds) -> None:
    clouds.wait_until_ready()
    host = clouds.machines["ewr-0"]
    # It stays for ten minutes after a start, which may be over.
    assert host.enter(["systemctl", "stop", "geobench-expiry.timer", "geobench-expiry.service"]).returncode == 0
    try:
        assert host.enter(["geobench-expiry", "1000"]).returncode == 0
        assert json.loads(clouds.benchmark("status", "--json", exit_code=3))["hosts"]["ewr-0"] == "expired"
        shown = " ".join(clouds.benchmark("status", exit_code=3).split())
        assert "1 ready, 1 expired" in shown or "1 expired, 1 ready" in shown
        assert "`pulumi destroy` removes the testbed (stopped hosts are billed until then)" in shown
    finally:
        clouds.benchmark("extend", "1h")
        host.enter(["systemctl", "start", "geobench-expiry.timer"])
    assert json.loads(clouds.benchmark("status", "--json"))["hosts"]["ewr-0"] == "ready"


def test_second_update_changes_nothing(clouds: Clouds) -> None:
    assert "to update" not in clouds.stack.pulumi("preview", "--diff", "--expect-no-changes")
    clouds.stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")


def test_removed_firewall_rule_is_restored(clouds: Clouds) -> None:
    clouds.stack.up("--refresh")
    clouds.wait_until_ready()
    address, aws = clouds.machines["us-east-1-1"].address, clouds.site.aws
    rules = aws.ec2("us-east-1", "describe_security_group_rules")["SecurityGroupRules"]
    (ssh,) = (rule for rule in rules if rule.get("FromPort") == 22)
    which = {"GroupId": ssh["GroupId"], "SecurityGroupRuleIds": [ssh["SecurityGroupRuleId"]]}
    aws.ec2("us-east-1", "revoke_security_group_ingress", **which)
    aws.enforce()
    assert not reaches(address, 22)
    clouds.stack.up("--refresh")
    wait_for(partial(reaches, address, 22), "the host is reached again")


def test_no_secret_is_stored_in_clear_text(clouds: Clouds) -> None:
    files = [path for path in clouds.stack.backend.rglob("*") if path.is_file()]
    assert any("user_data" in path.read_text() or "userData" in path.read_text() for path in files)
    shown = clouds.stack.pulumi("stack", "export") + clouds.stack.pulumi("stack", "output", "--json")
    for text in [shown, *(path.read_text(encoding="utf-8") for path in files)]:
        assert not holding([text.encode()], *SECRETS, REPOSITORY_TOKEN)


def test_no_secret_of_the_operator_is_on_a_host(clouds: Clouds) -> None:
    clouds.wait_until_ready()
    key = clouds.stack.pulumi("stack", "output", "ssh_private_key", "--show-secrets").splitlines()[3]
    for name, machine in clouds.machines.items():
        found = words_on(machine, "geobench", "ssh-ed25519", TOKEN, AWS_SECRET, REPOSITORY_TOKEN, key)
        searched = found.pop("geobench") | found.pop("ssh-ed25519")
        assert searched >= {"/etc", "/home", "/var/log", "/var/lib", "the journal"}
        assert not any(found.values()), name


def test_added_instance_touches_no_existing_host(clouds: Clouds, commands: set[bytes]) -> None:
    clouds.stack.up("-c", "instances=2")
    before = {name: machine.address for name, machine in clouds.machines.items()}
    newer = clouds.site.aws.publish_image("us-east-1", "x86_64", "20260715")  # is for new hosts alone
    clouds.stack.up("-c", "instances=3")
    assert holding(commands, "instances=3")
    assert len(clouds.machines) == 6
    assert {name: clouds.machines[name].address for name in before} == before
    instances = [clouds.site.aws.describe(identity) for identity in clouds.site.aws.machines]
    assert [found["ImageId"] == newer for found in instances if found].count(True) == 1
    clouds.stack.up("-c", "instances=2")
    assert {name: machine.address for name, machine in clouds.machines.items()} == before


def test_restarted_hosts_have_the_addresses_of_the_inventory(clouds: Clouds, commands: set[bytes]) -> None:
    clouds.stack.up("-c", "state=stopped")
    assert holding(commands, "state=stopped")
    inventory = clouds.stack.inventory()
    assert {host.state for host in inventory.hosts} == {"stopped"}
    assert not any(machine.running for machine in clouds.machines.values())
    assert clouds.benchmark("status").count("2 stopped") == 2
    assert "no host is running; start them with `pulumi up -c state=running`" in clouds.benchmark("extend", "1h")
    assert "us-east-1-0: has no address, it is stopped" in clouds.benchmark("grafana", exit_code=3)
    clouds.stack.up("-c", "state=running")
    clouds.wait_until_ready()
    for host in clouds.stack.inventory().hosts:
        assert (clouds.ssh(host, "hostname"), host.state) == (host.name, "running")


def test_expired_host_is_detected_and_recreated(clouds: Clouds) -> None:
    clouds.stack.up("--refresh")
    clouds.wait_until_ready()
    victim = clouds.machines["us-east-1-1"]
    victim.enter(["sh", "-c", "geobench-expiry 1; systemctl start geobench-expiry.service"])
    wait_for(lambda: not victim.running, "the host ends itself")
    shown = clouds.benchmark("status", exit_code=3)
    assert "us-east-1-1: unreachable" in shown
    assert "`pulumi refresh` checks whether hosts still exist" in shown
    assert clouds.stack.run("refresh", "--yes", "--skip-preview", "--expect-no-changes").returncode != 0
    clouds.stack.up()
    assert all(machine.running for machine in clouds.machines.values())
    assert len(clouds.machines) == 4
    clouds.wait_until_ready()


def test_no_secret_was_printed_or_passed_in_a_command_line(clouds: Clouds, commands: set[bytes]) -> None:
    """Of all that was done to the testbed so far, its creation included."""
    secrets, said = (*SECRETS, REPOSITORY_TOKEN), clouds.stack.said
    clouds.benchmark("status")
    assert all(holding(said, word) for word in (" created", "testbed clouds: 4 hosts"))
    assert not holding(said, *secrets)
    assert holding(commands, "\0up\0--yes")
    assert not holding(commands, *secrets)
