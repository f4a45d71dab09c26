"""The first boot of a cloud host as data: its user data, and the rules of its firewall."""

from __future__ import annotations

import fcntl
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from factories.cloud_init import HOST, MONITORING, archive, config, files, function, variables

from benchmark.errors import SettingsError
from stacks.cloud.cloud_init import SCRIPT, USER_DATA_LIMIT, firewall, grafana_password, user_data
from stacks.monitoring import monitoring_files


def test_the_host_has_only_the_generated_host_key() -> None:
    found = config(HOST)
    assert found["ssh_deletekeys"] is True
    assert found["ssh_keys"] == {"ed25519_private": HOST.host_private_key, "ed25519_public": HOST.host_public_key}


def test_login_needs_the_operators_key_and_passwords_are_disabled() -> None:
    found = config(HOST)
    (user,) = found["users"]
    assert (user["name"], user["ssh_authorized_keys"]) == ("ubuntu", [HOST.authorized_key])
    assert user["lock_passwd"] is True
    assert found["ssh_pwauth"] is False
    assert found["disable_root"] is True


def test_packages_are_not_upgraded_before_the_script_runs() -> None:
    assert config(HOST)["package_upgrade"] is False
    assert "packages" not in config(HOST)


def test_the_script_reads_the_settings_from_a_file() -> None:
    found = variables(files(replace(HOST, nvme=False, working_dir="a b"))["/etc/geobench/bootstrap.env"])
    assert (found["PROVIDER"], found["LOGIN"], found["TIME_TO_LIVE"]) == ("aws", "ubuntu", "43200")
    assert (found["NVME"], found["WORKING_DIR"], found["MONITORING"]) == ("no", "a b", "no")
    assert variables(files(MONITORING)["/etc/geobench/bootstrap.env"])["MONITORING"] == "yes"


def test_the_script_is_uploaded_and_run_once() -> None:
    assert config(HOST)["runcmd"][-1] == ["/usr/local/sbin/geobench-bootstrap"]
    assert files(HOST)["/usr/local/sbin/geobench-bootstrap"] == SCRIPT.read_text()
    modes = {entry.name: entry.mode for entry in archive(MONITORING).getmembers()}
    assert modes["usr/local/sbin/geobench-bootstrap"] == 0o755
    assert modes["etc/geobench/grafana.env"] == 0o600


def test_only_the_monitoring_host_gets_the_files_of_prometheus_and_grafana() -> None:
    provisioned = set(monitoring_files(HOST.scrape_interval))
    assert provisioned <= set(files(MONITORING))
    assert not provisioned & set(files(HOST))


def test_a_grafana_behind_the_tunnel_has_the_well_known_login() -> None:
    found = variables(files(MONITORING)["/etc/geobench/grafana.env"])
    assert (found["GF_SERVER_HTTP_ADDR"], found["GF_SECURITY_ADMIN_PASSWORD"]) == ("127.0.0.1", "admin")
    assert found["GF_AUTH_DISABLE_LOGIN_FORM"] == "false"


def test_a_public_grafana_has_a_generated_password() -> None:
    found = variables(files(replace(MONITORING, grafana_public=True))["/etc/geobench/grafana.env"])
    assert found["GF_SERVER_HTTP_ADDR"] == "0.0.0.0"
    assert found["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert found["GF_SECURITY_ADMIN_PASSWORD"] == grafana_password(HOST.host_private_key)
    assert len(grafana_password("a")) == 20
    assert grafana_password("a") != grafana_password("b")


def test_the_firewall_starts_with_the_operators_and_no_peers() -> None:
    rules = firewall(("198.51.100.7/32", "203.0.113.0/24", "2001:db8::/48"))
    assert "elements = { 198.51.100.7/32, 203.0.113.0/24 }" in rules
    assert "elements = { 2001:db8::/48 }" in rules
    assert "set peers4 { type ipv4_addr; }" in rules
    assert "policy drop" in rules
    assert "3000" not in rules
    assert "tcp dport { 22, 3000 }" in firewall(("198.51.100.7/32",), grafana=True)


def test_grafanas_port_opens_on_the_monitoring_host_only() -> None:
    rules = {
        host: files(replace(host, grafana_public=True))["/etc/geobench/firewall.nft"] for host in (HOST, MONITORING)
    }
    assert "3000" not in rules[HOST]
    assert "3000" in rules[MONITORING]


def test_the_user_data_has_at_most_the_size_that_clouds_accept() -> None:
    assert len(user_data(replace(MONITORING, grafana_public=True)).encode()) < USER_DATA_LIMIT - 1024
    many = tuple(f"198.51.{high}.{low}/32" for high in range(20) for low in range(200))
    with pytest.raises(SettingsError, match=r"operator_cidrs: .*clouds accept 16384; name fewer networks"):
        user_data(replace(HOST, operator_cidrs=many))


def test_package_lists_are_updated_after_the_images_own_update(tmp_path: Path) -> None:
    """Use the real apt-get, whose lists are locked by another process at first."""
    (tmp_path / "partial").mkdir()
    nowhere = f'Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "/dev/null"; Dir::Cache "{tmp_path}";'
    (tmp_path / "apt.conf").write_text(f'Dir::State::lists "{tmp_path}"; {nowhere}')
    steps = [function("fetch_packages"), function("list_packages"), "sleep() { command sleep 0.05; }", "list_packages"]
    with (tmp_path / "lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        apt = subprocess.Popen(
            ["bash", "-c", "\n".join(steps)],
            env={"PATH": "/usr/bin:/bin", "APT_CONFIG": str(tmp_path / "apt.conf"), "LC_ALL": "C"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert apt.stderr
        assert "Could not get lock" in apt.stderr.readline()
    _, errors = apt.communicate(timeout=60)
    assert apt.returncode == 0, errors


def test_snaps_are_not_refreshed_in_the_background() -> None:
    """snapd itself checks for new versions four times a day; there is no systemd timer to disable."""
    stopped = function("quiet")
    assert stopped.index("snapd.socket") < stopped.index("snapd.service"), "the socket would start it again"


def test_equal_hosts_have_equal_user_data() -> None:
    assert user_data(MONITORING) == user_data(MONITORING)


def test_the_private_key_is_not_in_the_representation() -> None:
    assert "secret" not in repr(HOST)
