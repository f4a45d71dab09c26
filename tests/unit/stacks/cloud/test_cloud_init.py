"""The first start of a cloud host, as data: what cloud-init is told, and the rules of the host's firewall."""

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


def test_the_host_has_the_key_of_the_program_and_no_other() -> None:
    found = config(HOST)
    assert found["ssh_deletekeys"] is True
    assert found["ssh_keys"] == {"ed25519_private": HOST.host_private_key, "ed25519_public": HOST.host_public_key}


def test_only_the_operators_key_logs_in_and_no_password() -> None:
    found = config(HOST)
    (user,) = found["users"]
    assert (user["name"], user["ssh_authorized_keys"]) == ("ubuntu", [HOST.authorized_key])
    assert user["lock_passwd"] is True
    assert found["ssh_pwauth"] is False
    assert found["disable_root"] is True


def test_no_upgrade_of_all_packages_comes_before_the_script() -> None:
    assert config(HOST)["package_upgrade"] is False
    assert "packages" not in config(HOST)


def test_the_script_is_told_what_the_settings_say() -> None:
    told = variables(files(replace(HOST, nvme=False, working_dir="a b"))["/etc/geobench/bootstrap.env"])
    assert (told["PROVIDER"], told["LOGIN"], told["TIME_TO_LIVE"]) == ("aws", "ubuntu", "43200")
    assert (told["NVME"], told["WORKING_DIR"], told["MONITORING"]) == ("no", "a b", "no")
    assert variables(files(MONITORING)["/etc/geobench/bootstrap.env"])["MONITORING"] == "yes"


def test_the_script_is_run_once_and_is_the_one_of_the_project() -> None:
    assert config(HOST)["runcmd"][-1] == ["/usr/local/sbin/geobench-bootstrap"]
    assert files(HOST)["/usr/local/sbin/geobench-bootstrap"] == SCRIPT.read_text()
    modes = {entry.name: entry.mode for entry in archive(MONITORING).getmembers()}
    assert modes["usr/local/sbin/geobench-bootstrap"] == 0o755
    assert modes["etc/geobench/grafana.env"] == 0o600


def test_only_the_monitoring_host_gets_the_files_of_prometheus_and_grafana() -> None:
    provisioned = set(monitoring_files(HOST.scrape_interval))
    assert provisioned <= set(files(MONITORING))
    assert not provisioned & set(files(HOST))


def test_grafana_behind_the_tunnel_has_the_known_login() -> None:
    told = variables(files(MONITORING)["/etc/geobench/grafana.env"])
    assert (told["GF_SERVER_HTTP_ADDR"], told["GF_SECURITY_ADMIN_PASSWORD"]) == ("127.0.0.1", "admin")
    assert told["GF_AUTH_DISABLE_LOGIN_FORM"] == "false"


def test_a_public_grafana_has_a_password_of_its_own() -> None:
    told = variables(files(replace(MONITORING, grafana_public=True))["/etc/geobench/grafana.env"])
    assert told["GF_SERVER_HTTP_ADDR"] == "0.0.0.0"
    assert told["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert told["GF_SECURITY_ADMIN_PASSWORD"] == grafana_password(HOST.host_private_key)
    assert len(grafana_password("a")) == 20
    assert grafana_password("a") != grafana_password("b")


def test_the_firewall_knows_the_operators_and_no_peers() -> None:
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


def test_it_fits_into_what_clouds_accept() -> None:
    assert len(user_data(replace(MONITORING, grafana_public=True)).encode()) < USER_DATA_LIMIT - 1024
    many = tuple(f"198.51.{high}.{low}/32" for high in range(20) for low in range(200))
    with pytest.raises(SettingsError, match=r"clouds accept 16384; name fewer operator_cidrs"):
        user_data(replace(HOST, operator_cidrs=many))


def test_the_packages_are_listed_once_the_images_own_update_is_over(tmp_path: Path) -> None:
    """The real apt-get, whose lists somebody else holds at first."""
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
    """snapd looks for new ones by itself, four times a day; no timer of systemd does."""
    stopped = function("quiet")
    assert stopped.index("snapd.socket") < stopped.index("snapd.service"), "the socket would start it again"


def test_equal_hosts_have_equal_user_data() -> None:
    assert user_data(MONITORING) == user_data(MONITORING)


def test_the_private_key_is_not_in_the_representation() -> None:
    assert "secret" not in repr(HOST)
