"""Grafana on a monitoring host, installed by bootstrap from a signed repository, or rejected.

Machines of an emulated cloud do it for real: gpg, apt, dpkg and systemd. The repository and the server are stand-ins.
"""

from __future__ import annotations

import json
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from fakes.emulators.grafana import GrafanaRepository, SigningKey
from fakes.emulators.machine import Image, Machine

from benchmark.host_layout import GRAFANA_PORT
from benchmark.settings import Network
from stacks.cloud import cloud_init as bootstrap
from stacks.cloud.cloud_init import Bootstrap, grafana_password, user_data
from stacks.keys import KeyPair, generate_key
from stacks.local.wan.links import links_for
from stacks.local.wan.network import WideAreaNetwork
from stacks.monitoring import DASHBOARDS, DATASOURCE_UID

pytestmark = pytest.mark.integration

READY_SECONDS = 120.0
LOCAL = f"http://127.0.0.1:{GRAFANA_PORT}"
ADMIN = "admin:admin"


class Site:
    """Three monitoring hosts and the repository they are led to.

    `tunnel` and `public` are told the key that signs it, `wary` the one that signs Grafana's own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._network = WideAreaNetwork("grafana")
        self._network.start(links_for(["us-east-1"], Network(internet=False)))
        self.repository = GrafanaRepository(folder, self._network.operator_address)
        self._image = Image(folder / "image", self.repository.files)
        self._keys: dict[str, KeyPair] = {}
        with pytest.MonkeyPatch.context() as pinned:
            self.wary = self._machine("wary")
            pinned.setattr(bootstrap, "GRAFANA_KEY", self.repository.key.fingerprint)
            self.tunnel = self._machine("tunnel")
            self.public = self._machine("public", grafana_public=True)
        self.machines = [self.wary, self.tunnel, self.public]

    def password(self) -> str:
        """The password that `pulumi up` exports for `public`."""
        return grafana_password(self._keys["public"].private_key)

    def close(self) -> None:
        for machine in self.machines:
            machine.remove()
        self._image.remove()
        self.repository.close()
        self._network.stop()

    def _machine(self, name: str, *, grafana_public: bool = False) -> Machine:
        key = self._keys[name] = generate_key()
        told = Bootstrap(
            name,
            "aws",
            generate_key().public_key,
            *key,
            operator_cidrs=(f"{self._network.operator_address}/32",),
            time_to_live=timedelta(hours=1),
            monitoring=True,
            grafana_public=grafana_public,
        )
        machine = Machine(self._folder / name, self._image, self._network, name, "us-east-1")
        machine.create(user_data(told))
        return machine


def wait_for(condition: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not come true within {seconds:.0f} s"
        time.sleep(0.05)


def read(machine: Machine, name: str) -> str:
    """A file of the host's state, empty if it has none; a container's kernel settings are its host's to refuse."""
    file = machine.path(f"/var/lib/geobench/{name}")
    lines = file.read_text().splitlines() if file.exists() else []
    return "\n".join(line for line in lines if line != "some kernel settings were rejected")


def run(machine: Machine, command: str) -> str:
    done = machine.enter(["bash", "-c", command])
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def asked(machine: Machine, path: str, login: str = "") -> tuple[int, Any]:
    """Status and body of what Grafana answers within the machine, where the tunnel ends."""
    user = ["--user", login] if login else []
    command = ["curl", "-sS", "-w", "\n%{http_code}", *user, f"{LOCAL}{path}"]
    body, _, status = run(machine, shlex.join(command)).rpartition("\n")
    return int(status), json.loads(body)


def listens(machine: Machine) -> str:
    return run(machine, f"ss -ltnH 'sport = :{GRAFANA_PORT}' | awk '{{print $4}}'")


def reaches(address: str, seconds: float = 1.0) -> bool:
    """Whether this machine, the operator's, can connect to Grafana's port."""
    try:
        with socket.create_connection((address, GRAFANA_PORT), timeout=seconds):
            return True
    except OSError:
        return False


def connects(machine: Machine, address: str) -> bool:
    """Whether a machine can."""
    return machine.enter(["timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{GRAFANA_PORT}"]).returncode == 0


def installed(machine: Machine) -> bool:
    traces = ("/etc/apt/sources.list.d/grafana.list", "/usr/sbin/grafana-server")
    found = {name: machine.path(name).exists() for name in traces}
    assert len(set(found.values())) == 1, found
    return all(found.values())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("grafana"))
    try:
        for machine in made.machines:
            wait_for(lambda machine=machine: read(machine, "state") not in ("", "booting"))
        yield made
    finally:
        made.close()


def test_every_host_is_ready_with_or_without_grafana(site: Site) -> None:
    for machine in site.machines:
        said = machine.path("/var/log/cloud-init-output.log").read_text()[-3000:]
        assert read(machine, "state") == "ready", f"{machine.name}: {said}"
    assert [installed(machine) for machine in site.machines] == [False, True, True]
    assert [read(machine, "warnings") for machine in (site.tunnel, site.public)] == ["", ""]


def test_grafana_is_reachable_only_through_the_tunnel(site: Site) -> None:
    assert listens(site.tunnel) == f"127.0.0.1:{GRAFANA_PORT}"
    assert not reaches(site.tunnel.address)
    status, (source,) = asked(site.tunnel, "/api/datasources", ADMIN)
    assert (status, source["uid"], source["isDefault"]) == (200, DATASOURCE_UID, True)
    assert asked(site.tunnel, "/api/datasources", "admin:wrong")[0] == 401
    assert asked(site.tunnel, "/api/datasources")[0] == 403  # without a login one looks, and changes nothing


def test_data_source_is_the_local_prometheus(site: Site) -> None:
    query = f"/api/datasources/proxy/uid/{DATASOURCE_UID}/api/v1/query?query=prometheus_build_info%20or%20vector(7)"
    status, body = asked(site.tunnel, query)
    assert (status, body["status"]) == (200, "success")
    assert body["data"]["result"][0]["value"][1] == "7"


def test_dashboards_are_provisioned(site: Site) -> None:
    expected = {path: json.loads(path.read_text()) for path in DASHBOARDS.glob("*.json")}
    assert expected
    status, found = asked(site.tunnel, "/api/search")
    assert status == 200
    assert {each["uid"] for each in found} == {each["uid"] for each in expected.values()}
    assert asked(site.tunnel, "/api/dashboards/home")[1]["dashboard"] == expected[DASHBOARDS / "run.json"]


def test_public_grafana_has_a_generated_password(site: Site) -> None:
    assert listens(site.public) == f"0.0.0.0:{GRAFANA_PORT}"
    url = f"http://{site.public.address}:{GRAFANA_PORT}"
    logins = [("admin", site.password()), ("admin", "admin"), None]
    found = [requests.get(f"{url}/api/search", auth=login, timeout=10).status_code for login in logins]
    assert found == [200, 401, 401]


def test_only_operators_reach_a_public_grafana(site: Site) -> None:
    assert reaches(site.public.address)
    assert not connects(site.wary, site.public.address)
    assert not connects(site.tunnel, site.public.address)


def test_password_file_is_readable_by_root_only(site: Site) -> None:
    secret = site.password()
    assert secret in site.public.path("/etc/geobench/grafana.env").read_text()
    assert run(site.public, "stat -c '%a %U' /etc/geobench/grafana.env") == "600 root"
    assert secret not in site.public.path("/var/log/cloud-init-output.log").read_text()
    assert secret not in run(site.public, "ps -eo args; journalctl --no-pager; systemctl show grafana-server")


def test_only_the_pinned_key_is_trusted(site: Site) -> None:
    key = "/etc/apt/keyrings/grafana.gpg"
    trusted = run(site.tunnel, f"gpg --show-keys --with-colons {key} | awk -F: '$1 == \"fpr\" {{print $10}}'")
    assert trusted == site.repository.key.fingerprint
    assert run(site.tunnel, f"stat -c %a {key}") == "644"  # apt reads it as a user of its own
    assert site.tunnel.enter(["pgrep", "gpg-agent"]).returncode == 1


def test_grafana_runs_again_after_a_reboot(site: Site) -> None:
    site.public.stop()
    site.public.start()
    wait_for(lambda: reaches(site.public.address))
    url = f"http://{site.public.address}:{GRAFANA_PORT}/api/search"
    assert requests.get(url, auth=("admin", site.password()), timeout=10).status_code == 200


def test_grafana_that_does_not_start_is_reported(site: Site) -> None:
    source = site.tunnel.path("/etc/grafana/provisioning/datasources/testbed.yaml")
    kept = source.read_text()
    source.write_text("datasources: [")
    try:
        run(site.tunnel, "geobench-bootstrap")
        assert read(site.tunnel, "state") == "ready"
        assert read(site.tunnel, "warnings") == "Grafana does not answer; see journalctl --unit=grafana-server"
    finally:
        source.write_text(kept)
        run(site.tunnel, "systemctl reset-failed grafana-server; systemctl restart grafana-server")
    wait_for(lambda: listens(site.tunnel) != "", 30)


def test_unknown_signing_key_is_rejected(site: Site) -> None:
    first, second = read(site.wary, "warnings").splitlines()
    found = f"{site.repository.retired.fingerprint} {site.repository.key.fingerprint}"
    assert first == f"the keys of Grafana's packages are {found}, expected {bootstrap.GRAFANA_KEY}"
    assert second == "Grafana was not installed"
    assert site.repository.asked(site.wary.address) == {"/gpg-full.key"}
    assert not site.wary.path("/etc/apt/keyrings/grafana.gpg").exists()


def signed_by_a_retired_key(repository: GrafanaRepository) -> None:
    repository.publish(repository.retired)


def signed_by_nobody(repository: GrafanaRepository) -> None:
    repository.publish(None)


def altered_after_it_was_signed(repository: GrafanaRepository) -> None:
    repository.publish(repository.key)
    repository.alter_package()


def told_to_trust(machine: Machine, key: SigningKey) -> None:
    """Let the machine's script expect this key from now on."""
    file = machine.path("/etc/geobench/bootstrap.env")
    lines = [line for line in file.read_text().splitlines() if not line.startswith("GRAFANA_KEY=")]
    file.write_text("\n".join([*lines, f"GRAFANA_KEY={key.fingerprint}", ""]))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (signed_by_a_retired_key, "NO_PUBKEY"),
        (signed_by_nobody, "is not signed"),
        (altered_after_it_was_signed, "Hash Sum mismatch"),
    ],
)
def test_apt_rejects_an_invalid_repository(site: Site, fault: Callable[[GrafanaRepository], None], reason: str) -> None:
    fault(site.repository)
    told_to_trust(site.wary, site.repository.key)
    log = run(site.wary, "geobench-bootstrap 2>&1")
    assert reason in log
    assert not installed(site.wary)
    assert [read(site.wary, "state"), read(site.wary, "warnings")] == ["ready", "Grafana was not installed"]
    run(site.wary, "apt-get -q update")  # what is left of it does not get in the way of others


def test_repeated_bootstrap_installs_grafana_that_failed_before(site: Site) -> None:
    site.repository.publish(site.repository.key)
    told_to_trust(site.wary, site.repository.key)
    run(site.wary, "geobench-bootstrap")
    assert installed(site.wary)
    assert read(site.wary, "warnings") == ""
    assert asked(site.wary, "/api/datasources", ADMIN)[0] == 200
