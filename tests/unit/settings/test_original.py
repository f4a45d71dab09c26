"""Settings files of the original orchestrators are read as they are, or the error says what to write."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from benchmark.errors import SettingsError
from benchmark.settings import Repository, load_settings, parse_fault

AWS = """\
---
testbed_id: "me-mysticeti"
cloud_provider: !aws
  specs: m5d.8xlarge
  token_file: "~/.aws/credentials"
ssh_private_key_file: ~/.ssh/aws
ssh_public_key_file: null
regions:
  - us-west-1
  - eu-west-1
repository:
  url: https://github.com/asonnino/mysticeti.git
  commit: main
node_parameters_path: ~/parameters.yml
client_parameters_path: null
working_dir: ~/working_dir
results_dir: ~/results
benchmark_duration: {secs: 180, nanos: 500000000}
scrape_interval: 15
faults: !Permanent
  faults: 0
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", "/home/me")
    return tmp_path / "settings.yml"


def test_settings_of_an_aws_testbed_are_read_as_they_are(file: Path) -> None:
    file.write_text(AWS)
    found = load_settings(file)
    assert (found.testbed_id, found.cloud_provider, found.specs) == ("me-mysticeti", "aws", "m5d.8xlarge")
    assert (found.token_file, found.ssh_private_key_file) == (Path("~/.aws/credentials"), Path("~/.ssh/aws"))
    assert found.regions == ("us-west-1", "eu-west-1")
    assert found.repository == Repository(url="https://github.com/asonnino/mysticeti.git", commit="main")
    assert (found.node_parameters, found.client_parameters) == (Path("/home/me/parameters.yml"), None)
    assert (found.working_dir, found.results_dir) == ("working_dir", Path("/home/me/results"))
    assert found.benchmark_duration == timedelta(seconds=180.5)
    assert found.scrape_interval == timedelta(seconds=15)


def test_machines_of_a_custom_testbed_are_read(file: Path) -> None:
    file.write_text(
        "cloud_provider: !custom\n  ssh_username: me\n  instances:\n"
        "  - {region: a, ip: 192.0.2.1}\n  - {region: b, ip: 192.0.2.2}\nregions: [a, b]\n"
    )
    found = load_settings(file)
    assert found.cloud_provider == "machines"
    assert [(each.region, each.address, each.user) for each in found.machines] == [
        ("a", "192.0.2.1", "me"), ("b", "192.0.2.2", "me"),
    ]  # fmt: skip


def test_json_with_tabs_is_read(file: Path) -> None:
    file.write_text(
        '{\n\t"cloud_provider": "Vultr",\n\t"regions": ["ewr"],\n\t"ssh_timeout": {"secs": 30, "nanos": 0},\n'
        '\t"spot": "on_demand"\n}\n'
    )
    found = load_settings(file)
    assert (found.cloud_provider, found.regions, found.spot) == ("vultr", ("ewr",), False)
    assert found.ssh_timeout == timedelta(seconds=30)


def test_what_has_no_meaning_is_listed_at_once_with_what_to_write(file: Path) -> None:
    file.write_text(
        "cloud_provider: !gcp {specs: x}\n"
        "regions: [a]\n"
        "faults: !Permanent {max_faults: 2}\n"
        "crash_order: round-robin\n"
        "logs_dir: ./logs\n"
        "benchmark_duration: 0\n"
        "spot: mixed\n"
        "specs: !big m5\n"
        "nvme: yess\n"
        "network: {loss: !share 1}\n"
    )
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert str(error.value).replace(f"{file}, line ", "").splitlines() == [
        "1, column 17: cloud_provider: found !gcp, expected aws, vultr, machines, local, or !aws or !custom",
        "3, column 9: faults: expected `!Permanent {faults: NUMBER}`, `!CrashRecovery {max_faults: NUMBER, interval: "
        "DURATION}` or a list",
        "4, column 14: crash_order: nodes to crash are chosen at random; remove it, and write `spare: [REGION]` in a "
        "fault",
        "5, column 11: logs_dir: logs are stored with the results of each run; remove it",
        "6, column 21: benchmark_duration: a run has to end; write a duration such as 180s",
        "7, column 7: spot: all hosts are of one kind; write true or false",
        "8, column 8: specs: unknown tag !big; remove it, or quote the value",
        "10, column 17: network.loss: unknown tag !share; remove it, or quote the value",
        "9, column 7: nvme: expected true or false, found 'yess'",
    ]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("!Permanent {faults: 0}", []),
        ("!Permanent {faults: 2}", ["crash:2@0s"]),
        ("!CrashRecovery {max_faults: 0, interval: 5}", []),
        ("!CrashRecovery {max_faults: 2, interval: {secs: 30, nanos: 0}}", ["crash:2@30s-60s every 60s"]),
        (
            "!CrashRecovery {max_faults: 7, interval: 30s}",
            ["crash:2@30s-2m every 2m", "crash:2@60s-2m every 2m", "crash:3@90s-2m every 2m"],
        ),
        (
            "[crash:leader@60s, {kind: pause, target: one, start: 10, end: 1m}]",
            ["crash:leader@60s", "pause:one@10s-60s"],
        ),
    ],
)
def test_faults_are_read(file: Path, text: str, faults: list[str]) -> None:
    file.write_text(f"regions: [a]\nfaults: {text}\n")
    assert load_settings(file).faults == tuple(map(parse_fault, faults))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "!CrashRecovery {max_faults: 1, interval: soon}",
            "line 2, column 50: faults.interval: 'soon' is not a duration",
        ),
        ("!Permanent {faults: -1}", "line 2, column 9: faults: expected `!Permanent {faults: NUMBER}`"),
        ("crash:leader@60s", "line 2, column 9: faults: expected a list: `faults: [crash:leader@60s]`"),
        ("[crash:leader]", "line 2, column 10: faults.0: found 'crash:leader', expected KIND:TARGET@START, "),
        ("[!x crash:one@1s]", "line 2, column 10: faults.0: unknown tag !x"),
        (
            "[{kind: crash, target: one}]",
            "line 2, column 10: faults.0: crash:one has no start; write a time, or a phase",
        ),
        ("[{kind: crash, target: one, start: 1, ends: 3}]", "unknown field 'faults.0.ends'; did you mean 'end'?"),
    ],
)
def test_invalid_faults_are_reported_with_their_position(file: Path, text: str, message: str) -> None:
    file.write_text(f"regions: [a]\nfaults: {text}\n")
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert message in str(error.value)


def test_positions_of_fields_below_a_tag_are_known(file: Path) -> None:
    file.write_text("regions: [a]\ncloud_provider: !aws\n  specs: 3\n  zzz: 1\n")
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert "line 3, column 10: specs: expected a text" in str(error.value)
    assert "line 4, column 8: unknown field 'zzz'" in str(error.value)


@pytest.mark.parametrize(
    "value", ["{secs: 1}", "{secs: x, nanos: 0}", "{secs: true, nanos: 0}", "{secs: -1, nanos: 0}"]
)
def test_other_mappings_are_no_durations(file: Path, value: str) -> None:
    file.write_text(f"regions: [a]\nwarm_up: {value}\n")
    with pytest.raises(SettingsError, match="line 2, column 10: warm_up: "):
        load_settings(file)
