"""Local hosts on an emulated network: what they see and reach, and what they leave behind."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from waiting import wait_for

from benchmark.errors import InfrastructureError
from benchmark.host_layout import MARKS_FILE, NODE_EXPORTER_PORT, TARGETS_DIRECTORY
from benchmark.settings import Network
from stacks.keys import KeyPair, generate_key
from stacks.local.host.disk import Disk
from stacks.local.host.filesystem import HostConfig
from stacks.local.host.host import CHECKOUT, Host
from stacks.local.wan.links import links_for
from stacks.local.wan.network import WideAreaNetwork
from stacks.monitoring import monitoring_files

pytestmark = pytest.mark.integration

WORKING_DIR = "/root/geobench"
REGIONS = ("us-east-1", "us-east-2")


class Testbed:
    """A network with hosts that accept logins; everything is removed when the block ends."""

    __test__ = False

    def __init__(self, name: str, folder: Path) -> None:
        self.network = WideAreaNetwork(name)
        self._folder = folder
        self._operator = generate_key()
        self._keys: dict[str, KeyPair] = {}
        self.addresses: dict[str, str] = {}
        (folder / f"{name}.key").write_text(self._operator.private_key, encoding="utf-8")
        (folder / f"{name}.key").chmod(0o600)
        self._identity = folder / f"{name}.key"

    def __enter__(self) -> Testbed:
        self.network.start(links_for(REGIONS, Network()))
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._keys:
            self.host(name).remove()
        self.network.stop()

    def host(self, name: str) -> Host:
        return Host(self.network, name)

    def config(self, name: str, bandwidth: int | None = None) -> HostConfig:
        key = self._keys.setdefault(name, generate_key())
        files = monitoring_files(timedelta(seconds=1)) if name == "us-east-1-0" else {}
        role = "monitoring" if files else "instance"
        config = HostConfig(name, name[:9], role, self._operator.public_key, key.private_key, files)  # type: ignore[arg-type]
        return dataclasses.replace(config, disk=Disk(64_000_000, WORKING_DIR, bandwidth))

    def create(self, name: str) -> Host:
        host = self.host(name)
        self.addresses[name] = host.create(self.config(name))
        return host

    def ssh(self, name: str, command: str, pinned: str | None = None) -> subprocess.CompletedProcess[str]:
        known = self._folder / "known_hosts"
        known.write_text(f"{self.addresses[name]} {pinned or self._keys[name].public_key}\n", encoding="utf-8")
        options = ["StrictHostKeyChecking=yes", f"UserKnownHostsFile={known}", "BatchMode=yes", "ConnectTimeout=10"]
        arguments = [argument for option in options for argument in ("-o", option)]
        return subprocess.run(
            ["ssh", "-F", "none", "-i", str(self._identity), *arguments, f"root@{self.addresses[name]}", command],
            capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def output(self, name: str, command: str) -> str:
        done = self.ssh(name, command)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    folder = tmp_path_factory.mktemp("hosts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOBENCH_STATE_DIR", str(folder / "state"))
        with Testbed("it-hosts", folder) as made:
            for name in ("us-east-1-0", "us-east-1-1", "us-east-2-0"):
                made.create(name)
            yield made


@pytest.fixture
def scratch(testbed: Testbed) -> Iterator[str]:
    """Return the name of a host that a test may create and break."""
    name = "us-east-2-9"
    yield name
    testbed.host(name).remove()


def http_get(address: str, port: int, path: str, seconds: int = 10) -> str:
    """Return the shell command that prints the response to a request."""
    request = f"GET {path} HTTP/1.0\\r\\n\\r\\n"
    return f"timeout {seconds} bash -c 'exec 3<>/dev/tcp/{address}/{port}; printf \"{request}\" >&3; cat <&3'"


def traces(testbed: Testbed) -> dict[str, set[str]]:
    """Return what a host must not leave behind on this machine, without the interfaces of other testbeds."""
    shown = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    links = {line.split(":")[1].strip() for line in shown}
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return {
        "links": {link for link in links if not link.startswith("geobench")},
        "mounts": {line for line in mounts if str(testbed.network.directory.parent) in line},
    }


def devices(image: Path) -> list[Path]:
    """Return the loop devices that have `image`."""
    found = []
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if file.read_text(encoding="utf-8").rstrip("\n") == str(image):
                found.append(Path("/dev", file.parts[3]))
    return found


def device(image: Path) -> Path:
    (found,) = devices(image)
    return found


def members(namespace: Path) -> list[Path]:
    """Return the running processes of a pid namespace, without zombies that the machine's init has yet to reap."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
            if state != "Z" and (process / "ns/pid").readlink() == namespace:
                found.append(process)
    return found


def test_an_operator_logs_in_with_the_key_and_the_pinned_host_key(testbed: Testbed) -> None:
    assert testbed.output("us-east-1-1", "hostname; id -un; pwd").split() == ["us-east-1-1", "root", "/root"]


def test_a_host_key_other_than_the_pinned_one_is_rejected(testbed: Testbed) -> None:
    refused = testbed.ssh("us-east-1-1", "true", pinned=generate_key().public_key)
    assert refused.returncode == 255
    assert "Host key verification failed" in refused.stderr


def test_a_host_sees_only_its_own_processes(testbed: Testbed) -> None:
    names = testbed.output("us-east-1-1", "ps -e -o comm=").split()
    assert set(names) <= {"sshd", "sshd-session", "prometheus-node", "ps", "bash", "sh"}
    assert testbed.output("us-east-1-1", "cat /proc/1/comm").strip() == "sshd"


def test_a_host_sees_neither_checkout_nor_state_nor_the_machines_private_files(testbed: Testbed) -> None:
    state = testbed.network.directory.parents[1]
    missing = testbed.output("us-east-1-1", f"ls -d {CHECKOUT} {state} 2>&1 || true")
    assert missing.count("No such file or directory") == 2
    found = testbed.output("us-east-1-1", f"ls -A /root /home /tmp {WORKING_DIR} | grep -v : || true")
    assert found.split() == ["geobench"]
    assert "ssh_host_rsa_key" not in testbed.output("us-east-1-1", "ls /etc/ssh")


def test_a_host_inherits_no_environment_of_its_creator(
    testbed: Testbed, scratch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "hunter2")
    testbed.create(scratch)
    assert "hunter2" not in testbed.output(scratch, "cat /proc/1/environ /proc/[0-9]*/environ")


def test_files_written_on_a_host_stay_there(testbed: Testbed) -> None:
    testbed.output("us-east-1-1", "echo mine > /usr/local/it-hosts-marker; echo mine > /tmp/it-hosts-marker")
    for name in ("/usr/local/it-hosts-marker", "/tmp/it-hosts-marker"):
        assert not Path(name).exists()
        assert testbed.ssh("us-east-2-0", f"test -e {name}").returncode == 1


def test_a_host_can_change_only_its_own_network_settings(testbed: Testbed) -> None:
    swappiness = Path("/proc/sys/vm/swappiness").read_text(encoding="ascii")
    assert testbed.ssh("us-east-1-1", "echo 7 > /proc/sys/vm/swappiness").returncode != 0
    assert Path("/proc/sys/vm/swappiness").read_text(encoding="ascii") == swappiness
    testbed.output("us-east-1-1", "echo 40 > /proc/sys/net/ipv4/ip_default_ttl")
    assert Path("/proc/sys/net/ipv4/ip_default_ttl").read_text(encoding="ascii").strip() == "64"
    assert testbed.ssh("us-east-1-1", "date -s @$(date +%s)").returncode != 0


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -o remount,rw,bind /proc/sys && echo '|/x' > /proc/sys/kernel/core_pattern",
        "umount /proc/sys",
        "mkdir /p && mount -t proc proc /p",
        "unshare --mount --pid --fork true",
        "echo h > /proc/sysrq-trigger",
        "mount -o remount,rw /sys",
        "mknod /dev/disk b 8 0",
        "unshare --user --map-root-user --mount sh -c 'mount -o remount,rw,bind /proc/sys && echo > /proc/sys/vm/x'",
        "unshare --user --map-root-user --mount --pid --fork --mount-proc true",
        "head -c 1 /proc/kcore | grep -q .",
    ],
    ids=[
        "remount",
        "umount",
        "another proc",
        "namespaces",
        "sysrq",
        "sys",
        "devices",
        "user namespace",
        "its proc",
        "memory",
    ],
)
def test_a_hosts_root_cannot_reach_the_machines_kernel(testbed: Testbed, attempt: str) -> None:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text(encoding="utf-8")
    assert testbed.ssh("us-east-1-1", attempt).returncode != 0
    assert Path("/proc/sys/kernel/core_pattern").read_text(encoding="utf-8") == pattern


def test_programs_that_a_host_replaced_get_no_more_rights_when_it_is_restarted(testbed: Testbed, scratch: str) -> None:
    host = testbed.create(scratch)
    script = "#!/bin/bash\\ngrep CapEff /proc/self/status >/root/$(basename $0)"
    for name in ("umount", "ip", "nft"):
        testbed.output(scratch, f"p=$(readlink -f $(command -v {name})); cp $p /r; printf '{script}' > $p")
    testbed.output(scratch, "command -v umount ip nft >/dev/null")
    host.start(testbed.config(scratch))
    limited = testbed.output(scratch, "grep CapEff /proc/self/status")
    found = testbed.output(scratch, "cat /root/umount /root/ip /root/nft 2>/dev/null || true")
    assert set(found.splitlines()) == {limited.strip()}


def test_no_other_user_of_the_machine_reaches_a_setuid_file_of_a_host(testbed: Testbed) -> None:
    testbed.output("us-east-1-1", "cp /bin/sh /usr/local/it-root && chmod 4755 /usr/local/it-root")
    made = testbed.host("us-east-1-1").directory / "upper/usr/local/it-root"
    assert made.stat().st_mode & 0o4000
    assert testbed.network.directory.parent.stat().st_mode & 0o77 == 0


def test_terminals_and_shared_memory_work(testbed: Testbed) -> None:
    assert testbed.output("us-east-1-1", "script -qec 'tty' /dev/null").strip().startswith("/dev/pts/")
    assert testbed.output("us-east-1-1", "echo x > /dev/shm/x && cat /dev/shm/x").strip() == "x"


def test_commands_find_the_machines_programs(testbed: Testbed) -> None:
    found = testbed.output("us-east-1-1", "command -v python3 nft ip etcd tar")
    assert len(found.split()) == 5


def test_commands_can_be_interrupted(testbed: Testbed) -> None:
    ignored = int(testbed.output("us-east-1-1", "grep SigIgn /proc/self/status").split()[1], base=16)
    assert ignored & (1 << (signal.SIGINT - 1) | 1 << (signal.SIGQUIT - 1) | 1 << (signal.SIGTERM - 1)) == 0


def test_a_host_has_no_ipv6_address(testbed: Testbed) -> None:
    assert testbed.output("us-east-1-1", "cat /proc/net/if_inet6").strip() == ""


def test_the_layer_is_volatile_and_the_working_folder_a_file_system_of_the_requested_size(testbed: Testbed) -> None:
    assert "volatile" in testbed.output("us-east-1-1", "grep ' / overlay' /proc/mounts")
    assert f" {WORKING_DIR} ext4 rw,nosuid,nodev" in testbed.output("us-east-1-1", "cat /proc/mounts")
    assert 50_000 < int(testbed.output("us-east-1-1", f"df -k --output=size {WORKING_DIR} | tail -n 1")) < 64_000


def test_fsync_in_the_working_folder_flushes_the_disk_of_the_machine(testbed: Testbed) -> None:
    image = testbed.host("us-east-1-1").directory / "disk.img"
    number = f"{os.major(image.stat().st_dev)}:{os.minor(image.stat().st_dev)}"

    def flushes(writes: int, place: str) -> tuple[int, int]:
        """Return by how much the flushes of the host's device and of the machine's disk grew."""
        files = [Path("/sys/block", device(image).name, "stat"), Path("/sys/dev/block", number, "stat")]
        before = [int(file.read_text(encoding="ascii").split()[15]) for file in files]
        program = (
            f"import os; file = os.open('{place}', os.O_CREAT | os.O_WRONLY)\n"
            f"for i in range({writes}): os.write(file, b'x'); os.fsync(file)"
        )
        testbed.output("us-east-1-1", f'python3 -c "{program}"')
        after = [int(file.read_text(encoding="ascii").split()[15]) for file in files]
        return after[0] - before[0], after[1] - before[1]

    loop, disk = flushes(50, f"{WORKING_DIR}/flushed")
    assert loop >= 50
    assert disk >= 50
    assert flushes(50, "/root/not-flushed")[0] < 10


def test_writes_and_reads_are_limited_to_the_bandwidth_and_only_on_that_host(testbed: Testbed, scratch: str) -> None:
    host = testbed.host(scratch)
    testbed.addresses[scratch] = host.create(testbed.config(scratch, bandwidth=10_000_000))
    write = f"dd if=/dev/zero of={WORKING_DIR}/x bs=1M count=20 conv=fsync"
    read = f"dd if={WORKING_DIR}/x of=/dev/null bs=1M iflag=direct"
    for command in (write, read):
        shown = testbed.ssh(scratch, command)
        assert shown.returncode == 0, shown.stderr
        assert 1.5 < float(re.findall(r"([\d.]+) s,", shown.stderr)[0]) < 5  # 2.1 s
    unlimited = testbed.ssh("us-east-1-1", f"{write}; rm {WORKING_DIR}/x")
    assert float(re.findall(r"([\d.]+) s,", unlimited.stderr)[0]) < 1.5
    number = (Path("/sys/block") / device(host.directory / "disk.img").name / "dev").read_text(encoding="ascii").strip()
    host.stop()
    for name in ("read", "write"):
        for rules in Path("/sys/fs/cgroup/blkio").glob(f"blkio.throttle.{name}_bps_device"):
            assert f"{number} " not in rules.read_text(encoding="ascii")


def test_a_host_limits_its_own_disk_and_no_other(testbed: Testbed, scratch: str) -> None:
    host = testbed.create(scratch)
    image, other = host.directory / "disk.img", testbed.host("us-east-1-1").directory / "disk.img"
    groups = Path("/sys/fs/cgroup")

    def limited(image: Path) -> bool:
        number = (Path("/sys/block") / device(image).name / "dev").read_text(encoding="ascii").strip()
        files = [*groups.glob("blkio/blkio.throttle.write_bps_device"), *groups.glob("geobench-*/io.max")]
        lines = [line for file in files for line in file.read_text(encoding="ascii").splitlines()]
        return any(line.startswith(number) and "1000" in line for line in lines)

    program = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/disk-control/disk'); "
        "s.send(b'1000 600\\n'); print(s.recv(9), flush=True); input()"
    )
    client = subprocess.Popen(
        ["nsenter", "--target", str(host.process_id()), "--mount", "python3", "-c", program],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with client:
        assert client.stdout
        assert client.stdout.readline() == b"b'ok\\n'\n"
        assert limited(image)
        assert not limited(other)
        client.kill()
    wait_for(lambda: not limited(image), "the end of the limit")
    assert "Read-only file system" in testbed.ssh(scratch, "touch /run/disk-control/x").stderr


def test_a_full_disk_leaves_the_hosts_other_files_and_other_hosts_alone(testbed: Testbed, scratch: str) -> None:
    testbed.create(scratch)
    full = testbed.ssh(scratch, f"dd if=/dev/zero of={WORKING_DIR}/x bs=1M count=100")
    assert "No space left on device" in full.stderr
    testbed.output(scratch, "echo x >/root/file")
    testbed.output("us-east-1-1", f"echo x >{WORKING_DIR}/file")


def test_a_host_that_replaces_its_working_folder_by_a_link_gets_no_files_of_the_machine(
    testbed: Testbed, scratch: str
) -> None:
    host = testbed.create(scratch)
    other = dataclasses.replace(testbed.config(scratch), disk=Disk(64_000_000, "/root/other"))
    testbed.output(scratch, "ln -s /usr/local /root/other")
    host.start(other)
    assert " /usr/local ext4 " in testbed.output(scratch, "cat /proc/mounts")
    assert not any(" /usr/local " in line for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines())


def test_hosts_reach_each_others_ports_and_the_operator_only_ssh(testbed: Testbed) -> None:
    target = testbed.addresses["us-east-1-1"]
    assert "node_cpu_seconds_total" in testbed.output("us-east-2-0", http_get(target, NODE_EXPORTER_PORT, "/metrics"))
    blocked = subprocess.run(
        ["timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{target}/{NODE_EXPORTER_PORT}"],
        capture_output=True,
        check=False,
    )
    assert blocked.returncode != 0
    subprocess.run(["ping", "-c", "1", "-W", "5", target], capture_output=True, check=True)


def test_the_exporter_counts_the_hosts_own_disk_and_interface(testbed: Testbed) -> None:
    served = testbed.output("us-east-1-1", http_get("127.0.0.1", NODE_EXPORTER_PORT, "/metrics"))
    assert 'node_filesystem_size_bytes{device="overlay",fstype="overlay",mountpoint="/"}' in served
    assert 'node_network_receive_bytes_total{device="wan0"}' in served


def test_prometheus_runs_on_the_monitoring_host_with_a_folder_for_targets(testbed: Testbed) -> None:
    ready = http_get("127.0.0.1", 9090, "/-/ready")
    wait_for(lambda: "200 OK" in testbed.ssh("us-east-1-0", ready).stdout, "Prometheus is ready")
    testbed.output("us-east-1-0", f"touch {TARGETS_DIRECTORY}/x.json && rm {TARGETS_DIRECTORY}/x.json")
    assert testbed.ssh("us-east-1-1", "pidof prometheus").returncode == 1


def test_the_monitoring_host_publishes_the_networks_own_metrics(testbed: Testbed) -> None:
    metrics = http_get("127.0.0.1", NODE_EXPORTER_PORT, "/metrics")
    wait_for(lambda: "wan.prom" in testbed.output("us-east-1-0", metrics), "the network's metrics are published")
    assert testbed.ssh("us-east-1-0", "touch /run/wan/x").returncode != 0


def test_a_host_can_become_the_monitoring_host_and_change_back(testbed: Testbed, scratch: str) -> None:
    host, plain = testbed.create(scratch), testbed.config(scratch)
    ready, metrics = http_get("127.0.0.1", 9090, "/-/ready"), http_get("127.0.0.1", NODE_EXPORTER_PORT, "/metrics")
    host.start(dataclasses.replace(plain, role="monitoring", files=monitoring_files(timedelta(seconds=1))))
    wait_for(lambda: "200 OK" in testbed.ssh(scratch, ready).stdout, "Prometheus is ready")
    testbed.output(scratch, f"echo 'a_run 1' >{MARKS_FILE}")
    wait_for(lambda: "\na_run 1" in testbed.output(scratch, metrics), "the marks are published")
    host.start(plain)
    wait_for(lambda: "node_textfile_scrape_error 0" in testbed.output(scratch, metrics), "the exporter has no errors")
    assert "a_run" not in testbed.output(scratch, metrics)
    assert testbed.ssh(scratch, "pidof prometheus").returncode == 1


def test_orphans_are_reaped(testbed: Testbed) -> None:
    testbed.output("us-east-1-1", "for i in 1 2 3 4 5; do (setsid true &) ; done")
    wait_for(lambda: "Z" not in testbed.output("us-east-1-1", "ps -e -o stat="), "no zombie is left")


def test_a_killed_host_is_detected_and_restarts_with_its_address_and_key(testbed: Testbed, scratch: str) -> None:
    host = testbed.create(scratch)
    pid, address = host.process_id(), testbed.addresses[scratch]
    assert pid is not None
    assert host.is_running()
    subprocess.run(["kill", "-9", str(pid)], check=True)
    wait_for(lambda: not host.is_running(), "the host counts as dead")
    wait_for(lambda: not devices(host.directory / "disk.img"), "its loop device is released")
    assert host.start(testbed.config(scratch)) == address
    assert testbed.output(scratch, "hostname").strip() == scratch


def test_a_host_without_its_network_does_not_count_as_running(testbed: Testbed, scratch: str) -> None:
    host = testbed.create(scratch)
    testbed.network.detach(scratch)
    wait_for(lambda: not host.is_running(), "the host counts as dead")
    assert host.process_id() is not None


def test_a_stopped_host_keeps_its_files_and_address(testbed: Testbed, scratch: str) -> None:
    host = testbed.create(scratch)
    address = testbed.addresses[scratch]
    testbed.output(scratch, f"echo kept > /root/file; echo too > {WORKING_DIR}/file")
    testbed.output(scratch, "(setsid sleep 1000 >/dev/null 2>&1 &)")
    namespace = Path(f"/proc/{host.process_id()}/ns/pid").readlink()
    host.stop()
    assert host.process_id() is None
    assert members(namespace) == []
    assert scratch not in testbed.network.hosts()
    assert host.start(testbed.config(scratch)) == address
    assert testbed.output(scratch, f"cat /root/file {WORKING_DIR}/file; pidof sleep || true").split() == ["kept", "too"]


def test_creating_a_host_again_kills_it_and_starts_with_empty_files(testbed: Testbed, scratch: str) -> None:
    first = testbed.create(scratch)
    before = first.process_id()
    testbed.output(scratch, "echo old > /root/file")
    second = testbed.create(scratch)
    assert second.process_id() not in (None, before)
    assert testbed.ssh(scratch, "test -e /root/file").returncode == 1
    assert list(testbed.network.hosts()).count(scratch) == 1


def test_a_host_that_cannot_start_reports_the_reason_and_leaves_no_process(testbed: Testbed, scratch: str) -> None:
    host = testbed.host(scratch)
    broken = dataclasses.replace(testbed.config(scratch), host_private_key="no key\n")
    with pytest.raises(InfrastructureError, match=r"us-east-2-9 did not start: .*(?s:.*)no hostkeys available"):
        host.create(broken)
    assert host.process_id() is None
    assert devices(host.directory / "disk.img") == []
    assert scratch not in testbed.network.hosts()


def test_a_region_without_links_is_rejected_and_leaves_no_process(testbed: Testbed, scratch: str) -> None:
    host = testbed.host(scratch)
    with pytest.raises(InfrastructureError, match="nowhere-1"):
        host.create(dataclasses.replace(testbed.config(scratch), region="nowhere-1"))
    assert host.process_id() is None


def test_removing_a_host_leaves_nothing_behind(testbed: Testbed, scratch: str) -> None:
    before = traces(testbed)
    host = testbed.create(scratch)
    testbed.output(scratch, "echo x > /root/file; (setsid sleep 1000 >/dev/null 2>&1 &)")
    namespace = Path(f"/proc/{host.process_id()}/ns/pid").readlink()
    assert len(members(namespace)) >= 3
    wait_for(lambda: traces(testbed) == before, "devices and mounts of a running host are in its own namespaces")
    host.remove()
    wait_for(lambda: traces(testbed) == before, "nothing is left")
    assert members(namespace) == []
    assert not host.directory.exists()
    host.remove()  # again, of nothing


def test_testbeds_side_by_side_do_not_reach_each_other(testbed: Testbed, tmp_path: Path) -> None:
    with Testbed("it-others", tmp_path) as other:
        other.create("us-east-1-1")
        assert other.network.subnet != testbed.network.subnet
        mine, theirs = testbed.addresses["us-east-1-1"], other.addresses["us-east-1-1"]
        for source, name, target in ((testbed, "us-east-1-1", theirs), (other, "us-east-1-1", mine)):
            assert source.ssh(name, f"ping -c 1 -W 1 {target}").returncode != 0
            assert source.ssh(name, http_get(target, 22, "/", seconds=1)).stdout == ""
            assert source.ssh(name, http_get(target, NODE_EXPORTER_PORT, "/metrics", seconds=1)).stdout == ""
    assert testbed.output("us-east-1-1", "hostname").strip() == "us-east-1-1"
