"""The emulated network between real network namespaces."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from paths import ROOT

from benchmark.errors import InfrastructureError
from benchmark.settings import Network
from stacks.local.owner import Owner
from stacks.local.process import find_process
from stacks.local.wan import gateway
from stacks.local.wan.links import Links, links_for
from stacks.local.wan.network import WideAreaNetwork
from stacks.local.wan.resource import NetworkProvider

pytestmark = [pytest.mark.integration, pytest.mark.quiet]

REGIONS = ["us-east-1", "eu-west-1"]

RECEIVE = """
import hashlib, socket, time
server = socket.create_server(("", 5201)); server.settimeout(60); print("ready", flush=True)
peer, _ = server.accept(); peer.settimeout(60); digest = hashlib.sha256(); start = time.monotonic()
while data := peer.recv(1 << 20): digest.update(data)
print(digest.hexdigest(), time.monotonic() - start)
"""
SEND = """
import hashlib, random, socket, sys
data = random.Random(1).randbytes(int(sys.argv[2]))
with socket.create_connection((sys.argv[1], 5201), timeout=60) as peer: peer.sendall(data)
print(hashlib.sha256(data).hexdigest())
"""


class Testbed:
    """A network, and the processes that keep its hosts' namespaces alive."""

    __test__ = False

    def __init__(self, name: str) -> None:
        self.network = WideAreaNetwork(name)
        self.holders: dict[str, subprocess.Popen[str]] = {}

    def add(self, host: str, region: str) -> str:
        """Attach an empty namespace and return its address."""
        command = ["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"]
        holder = self.holders[host] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert holder.stdout
        assert holder.stdout.readline() == "ready\n"
        address = self.network.claim_address(host)
        self.network.attach(host, region, address, holder.pid)
        return address

    def command(self, host: str, *words: str) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.holders[host].pid}/ns/net", *words]

    def ping(self, host: str, address: str, count: int = 7) -> list[float]:
        """Return round trips in ms, without those that got no reply."""
        command = self.command(host, "ping", "-n", "-c", str(count), "-i", "0.1", "-W", "1", address)
        text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
        return [float(value) for value in re.findall(r"time=([\d.]+)", text)]

    def transfer(self, sender: str, receiver: str, size: int) -> float:
        """Send `size` bytes over TCP, verify them, and return the duration in seconds."""
        address = self.network.hosts()[receiver]
        command = self.command(receiver, sys.executable, "-c", RECEIVE)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            send = self.command(sender, sys.executable, "-c", SEND, address, str(size))
            sent = subprocess.run(send, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
            digest, seconds = process.stdout.readline().split()
        assert digest == sent
        return float(seconds)

    def end(self, host: str) -> None:
        holder = self.holders.pop(host)
        holder.kill()
        holder.communicate()

    def close(self) -> None:
        for host in list(self.holders):
            self.end(host)
        self.network.stop()


def links(**network: object) -> Links:
    return links_for(REGIONS, Network.model_validate(network))


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`, at most 10 s."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a separate state folder whose path is longer than a socket's may be."""
    folder = tmp_path / ("long" * 25)
    monkeypatch.setenv("GEOBENCH_STATE_DIR", str(folder))
    return folder


@pytest.fixture
def testbed(state: Path) -> Iterator[Testbed]:
    """Start a network with two hosts in us-east-1 and one in eu-west-1."""
    testbed = Testbed("wan-test")
    try:
        testbed.network.start(links())
        for host, region in (("a", "us-east-1"), ("b", "us-east-1"), ("c", "eu-west-1")):
            testbed.add(host, region)
        yield testbed
    finally:
        testbed.close()


def test_round_trips_match_the_matrix(testbed: Testbed) -> None:
    hosts = testbed.network.hosts()
    assert statistics.median(testbed.ping("a", hosts["c"])) == pytest.approx(65.7, abs=1 + 0.02 * 65.7)
    assert statistics.median(testbed.ping("a", hosts["b"])) == pytest.approx(0.6, abs=1)
    assert statistics.median(testbed.ping("c", hosts["b"])) == pytest.approx(65.7, abs=1 + 0.02 * 65.7)


def test_traffic_of_the_operator_is_not_delayed(testbed: Testbed) -> None:
    assert statistics.median(testbed.ping("c", testbed.network.operator_address)) < 3
    command = ["ping", "-n", "-c", "3", "-i", "0.1", testbed.network.hosts()["c"]]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "0% packet loss" in text


def test_new_links_apply_to_a_running_network_and_hosts_stay_attached(testbed: Testbed) -> None:
    identity = testbed.network.identity()
    testbed.network.start(links(rtt_ms={"us-east-1/eu-west-1": 20}))
    hosts = testbed.network.hosts()
    assert statistics.median(testbed.ping("a", hosts["c"])) == pytest.approx(20, abs=1.4)
    assert testbed.network.identity() == identity


def test_a_large_transfer_arrives_unchanged(testbed: Testbed) -> None:
    testbed.transfer("a", "c", 20_000_000)


def test_a_limited_uplink_sends_at_its_rate(testbed: Testbed) -> None:
    testbed.network.start(links(bandwidth_mbps=40, rtt_ms={"us-east-1/eu-west-1": 10}))
    seconds = testbed.transfer("a", "c", 10_000_000)  # 80 Mb: 2 s without headers, of which 52 bytes in 1500
    assert 2.0 <= seconds < 2.6


def test_packets_are_lost_one_by_one_and_tcp_recovers(testbed: Testbed) -> None:
    testbed.network.start(links(loss=0.02, rtt_ms={"us-east-1/eu-west-1": 5}))
    testbed.transfer("a", "c", 3_000_000)  # 2000 packets, so about 40 losses
    wait_until(lambda: dropped(testbed, "loss") >= 10)
    assert dropped(testbed, "loss") < 200


def dropped(testbed: Testbed, reason: str) -> int:
    file = testbed.network.directory / "metrics" / "wan.prom"
    text = file.read_text() if file.exists() else ""
    found = re.search(rf'wan_dropped_packets_total{{reason="{reason}"}} (\d+)', text)
    return int(found[1]) if found else 0


def test_a_packet_with_a_forged_source_is_dropped(testbed: Testbed) -> None:
    address = testbed.network.hosts()["c"]
    subprocess.run(testbed.command("a", "ip", "address", "add", "198.18.9.9/32", "dev", "wan0"), check=True)
    subprocess.run(
        testbed.command("a", "ping", "-c", "1", "-W", "1", "-I", "198.18.9.9", address),
        capture_output=True,
        check=False,
    )
    wait_until(lambda: dropped(testbed, "source") == 1)


def test_a_host_that_ends_is_detached_and_can_be_attached_again(testbed: Testbed) -> None:
    address = testbed.network.claim_address("c")
    testbed.end("c")
    wait_until(lambda: "c" not in testbed.network.hosts())
    assert testbed.add("c", "eu-west-1") == address
    assert len(testbed.ping("a", address)) == 7


def test_attaching_again_replaces_the_interface(testbed: Testbed) -> None:
    hosts = testbed.network.hosts()
    testbed.network.attach("b", "eu-west-1", hosts["b"], testbed.holders["b"].pid)
    assert testbed.network.hosts() == hosts
    assert statistics.median(testbed.ping("a", hosts["b"])) == pytest.approx(65.7, abs=1 + 0.02 * 65.7)


def test_a_detached_host_is_unreachable(testbed: Testbed) -> None:
    address = testbed.network.hosts()["b"]
    testbed.network.detach("b")
    testbed.network.detach("b")
    assert testbed.ping("a", address, count=2) == []
    shown = subprocess.run(testbed.command("b", "ip", "link"), capture_output=True, text=True, check=True).stdout
    assert "wan0" not in shown


def test_a_region_without_links_is_rejected_and_leaves_no_interface(testbed: Testbed) -> None:
    with pytest.raises(InfrastructureError, match="region 'mars' has no links; regions with links: eu-west-1, us-ea"):
        testbed.add("m", "mars")
    shown = subprocess.run(testbed.command("m", "ip", "link"), capture_output=True, text=True, check=True).stdout
    assert "wan0" not in shown


def test_two_testbeds_do_not_reach_each_other(testbed: Testbed) -> None:
    other = Testbed("wan-other")
    try:
        other.network.start(links())
        address = other.add("x", "us-east-1")
        assert other.network.subnet != testbed.network.subnet
        assert testbed.ping("a", address, count=2) == []
        assert other.ping("x", testbed.network.hosts()["a"], count=2) == []
        assert len(other.ping("x", other.network.operator_address, count=2)) == 2
    finally:
        other.close()
    assert len(testbed.ping("a", testbed.network.hosts()["b"], count=2)) == 2


@contextlib.contextmanager
def outside(address: str) -> Iterator[None]:
    """Create a namespace outside the testbeds without a route back to them: it replies only to masqueraded packets."""
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 300"], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout
            holder.stdout.readline()
            script = (
                f"ip link add gbout type veth peer name out netns {holder.pid} && "
                "ip addr add 203.0.113.1/24 dev gbout && ip link set gbout up && "
                f"nsenter --net=/proc/{holder.pid}/ns/net sh -c "
                f"'ip addr add {address}/24 dev out && ip link set out up'"
            )
            subprocess.run(["sh", "-c", script], check=True)
            yield
        finally:
            subprocess.run(["ip", "link", "delete", "gbout"], check=False)
            holder.kill()


def test_hosts_reach_the_internet_unless_disabled(testbed: Testbed) -> None:
    with outside("203.0.113.2"):
        assert len(testbed.ping("a", "203.0.113.2", count=2)) == 2
        testbed.network.start(links(internet=False))
        assert testbed.ping("a", "203.0.113.2", count=2) == []


def test_stop_leaves_nothing_behind_and_can_be_repeated(testbed: Testbed, state: Path) -> None:
    network, name = testbed.network, gateway.interface_name(int((testbed.network.directory / "subnet").read_text()))
    assert (gateway.INTERFACES / name).exists()
    pid = int((network.identity() or "").split()[0])
    for _ in range(2):
        network.stop()
        assert not network.running()
        assert not (gateway.INTERFACES / name).exists()
        assert list(state.iterdir()) == []
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert name.replace("geobench", "geobench_") not in tables.split()
    assert not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text()


def test_a_killed_emulator_is_detected_and_replaced(testbed: Testbed) -> None:
    network, provider = testbed.network, NetworkProvider()
    props = {"testbed_id": network.testbed_id, "stack": "dev", "links": links().to_json()}
    state = provider.read(network.testbed_id, props)
    assert state.id == network.testbed_id
    assert state.outs
    network.start(links(), Owner.here("dev"))
    assert not provider.diff(state.id, state.outs, state.outs).changes
    subnet, identity = network.subnet, network.identity()
    os.kill(int((identity or "").split()[0]), signal.SIGKILL)
    wait_until(lambda: not network.running())
    assert provider.read(network.testbed_id, state.outs).id == ""
    assert provider.diff(state.id, state.outs, state.outs).replaces == ["identity"]
    with pytest.raises(InfrastructureError, match="does not answer"):
        network.hosts()
    network.start(links())
    assert (network.subnet, network.hosts()) == (subnet, {})
    assert network.identity() not in (None, identity)


def test_a_killed_emulator_is_replaced_at_once_with_its_hosts(testbed: Testbed) -> None:
    network, worker = testbed.network, testbed.network.directory / "worker.pid"
    before, identity, process = network.hosts(), network.identity(), find_process(worker)
    assert process
    since = unchanged_since(network)
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: find_process(worker) not in (None, process))
    assert (network.hosts(), network.identity()) == (before, identity)
    assert statistics.median(testbed.ping("a", before["c"])) == pytest.approx(65.7, abs=2)
    assert len(testbed.ping("a", network.operator_address, count=2)) == 2
    wait_until(lambda: unchanged_since(network) > since)
    testbed.network.detach("b")
    testbed.network.attach("b", "us-east-1", before["b"], testbed.holders["b"].pid)
    assert len(testbed.ping("b", before["c"], count=2)) == 2


def test_workers_share_the_hosts_and_are_replaced_one_by_one(testbed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    testbed.network.stop()
    monkeypatch.setattr("stacks.local.wan.network.WORKERS", 2)
    testbed.network.start(links())
    for host, region in (("a", "us-east-1"), ("b", "us-east-1"), ("c", "eu-west-1")):
        testbed.end(host)
        testbed.add(host, region)
    network = testbed.network
    hosts, workers = network.hosts(), [network.directory / name for name in ("worker.pid", "worker1.pid")]
    identity = network.identity()
    for worker in workers:
        process, since = find_process(worker), unchanged_since(network)
        assert process
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda worker=worker, process=process: find_process(worker) not in (None, process))  # type: ignore[misc]
        wait_until(lambda since=since: unchanged_since(network) > since)  # type: ignore[misc]
        assert (network.hosts(), network.identity()) == (hosts, identity)
        for source, target in (("a", "c"), ("c", "b"), ("b", "a")):
            assert len(testbed.ping(source, hosts[target], count=2)) == 2
        assert len(testbed.ping("b", network.operator_address, count=2)) == 2
    network.start(links(rtt_ms={"us-east-1/eu-west-1": 20}))
    wait_until(lambda: testbed.ping("a", hosts["c"], count=1)[0] < 22)
    assert statistics.median(testbed.ping("c", hosts["b"])) == pytest.approx(20, abs=1.4)
    for host in ("b", "c"):  # one on each worker
        testbed.end(host)
        wait_until(lambda host=host: host not in network.hosts())  # type: ignore[misc]
        testbed.add(host, "eu-west-1")
    assert network.hosts() == hosts
    assert len(testbed.ping("b", hosts["c"], count=2)) == 2


def unchanged_since(network: WideAreaNetwork) -> float:
    """Read since when the network has not changed from the emulator's metrics."""
    file = network.directory / "metrics/wan.prom"
    wait_until(file.exists)
    (found,) = re.findall(r"^wan_unchanged_since_seconds (.*)$", file.read_text(), re.MULTILINE)
    return float(found)


def test_the_resource_is_created_updated_and_deleted(state: Path) -> None:
    provider = NetworkProvider()
    props = {"testbed_id": "wan-resource", "stack": "dev", "links": links().to_json()}
    try:
        created = provider.create(props)
        assert created.outs
        changed = {**props, "links": links(loss=0.1).to_json()}
        difference = provider.diff("wan-resource", created.outs, changed)
        assert (difference.changes, difference.replaces) == (True, [])
        updated = provider.update("wan-resource", created.outs, changed)
        assert updated.outs == {**created.outs, "links": changed["links"]}
        assert provider.diff("wan-resource", updated.outs, {**changed, "testbed_id": "b"}).replaces == ["testbed_id"]
    finally:
        provider.delete("wan-resource", props)
    assert list(state.iterdir()) == []


def test_the_accuracy_tool_measures_ten_regions_and_removes_them(state: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tools.accuracy.wan_accuracy",
        "--hosts",
        "11",
        "--pings",
        "3",
        "--seconds",
        "0",
        "--load",
        "200",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "46 pairs, 11 hosts" in done.stdout
    assert "0 out of bounds" in done.stdout
    assert list(state.iterdir()) == []


def test_the_links_tool_finds_impairments_and_a_trace_as_requested_and_removes_its_hosts(state: Path) -> None:
    command = [sys.executable, "-m", "tools.accuracy.wan_links", "--regions", "4", "--seconds", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "steps in 12 directions" in done.stdout
    assert "trace: 0 steps" not in done.stdout
    assert list(state.iterdir()) == []
