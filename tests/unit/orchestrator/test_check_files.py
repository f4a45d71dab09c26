"""Files that are checked without a testbed: every mistake with its line and column."""

from __future__ import annotations

from pathlib import Path

import pytest
from paths import ROOT

from benchmark.orchestrator.check_files import check_file

MISTAKES = [
    ("instances: 4\nregions: [us-east-1]\ninstances: 5", 3, 1, "'instances' is already set in line 1; remove one"),
    (
        "regions: us-east-1", 1, 10,
        "regions: expected a list: `regions: [us-east-1]`, found 'us-east-1'",
    ),
    ("regions: [us-east-1]\ninstances: four", 2, 12, "instances: expected a whole number, found 'four'"),
    ("regions: [us-east-1]\ninstances: 0", 2, 12, "instances: expected at least 1, found 0"),
    (
        "regions: [us-east-1]\ntestbed_id: My_Testbed", 2, 13,
        "testbed_id: expected up to 31 lower-case letters, digits and dashes, starting with a letter, found 'My_",
    ),
    ("regions:\n  - us-east-1\n  - no", 3, 5, "regions.1: expected a text, found no; quote it: 'no'"),
    ("regions: [us-east-1]\ninstnces: 4", 2, 11, "unknown field 'instnces'; did you mean 'instances'?"),
    ("regions: [us-east-1]\nwarm_up: soon", 2, 10, "warm_up: 'soon' is not a duration; write seconds or a unit"),
    (
        "regions: [us-east-1]\nphases: [a 9s, b 9s, a 9s]\nfaults:\n  - pause:one@a+1s-2s\n  - pause:halves@b", 5, 5,
        "fault pause:halves: only partitions have the target halves",
    ),
    (
        "regions: [us-east-1]\nrepository: {url: '${NO_SUCH}'}", 2, 19,
        "repository.url: ${NO_SUCH} is not set in the environment; `export NO_SUCH=…` first",
    ),
    ("regions: [us-east-1]\nprotocol: etdc", 2, 11, "no protocol named 'etdc'; known are: etcd, mysticeti, remora"),
    ("regions: [us-east-1]\nprotocol: none.yaml", 2, 11, "cannot read none.yaml: No such file or directory"),
    (
        "regions: [us-east-1]\nnode_parameters: {hartbeat_ms: 5}", 2, 32,
        "node_parameters: unknown parameter 'hartbeat_ms'; did you mean 'heartbeat_ms'?",
    ),
    ("regions: [a, b]\nnetwork: {rtt_ms: {a-b: 5}}", 2, 19, "network.rtt_ms: "),
    ("regions: [us-east-1, us-east-1]", 1, 10, "regions: listed twice: us-east-1; set `instances` for more hosts"),
    ("regions: [us-east-1]\n\tinstances: 4", 2, 1, "not YAML: found character '\\t' that cannot start any token"),
    ("regions: [us-east-1", 2, 1, "not YAML: expected ',' or ']'"),
    ("instances: 4", 1, 1, "regions: list at least one, such as `regions: [us-east-1]`"),
    ("regions: [us-east-1, mars-1]", 1, 22, "regions: unknown region 'mars-1'; for a custom name set `network: {"),
    ("regions: [us-east-1, eu-wets-1]", 1, 22, "regions: unknown region 'eu-wets-1'; did you mean 'eu-west-1'?"),
    (
        "regions: [us-east-1]\nbenchmark_duration: 5s", 2, 21,
        "a duration of 5s is too short to be measured; use at least 15s, 3 scrape intervals of 5s",
    ),
    ("regions: [us-east-1]\nload_shape: sinus", 2, 13, "load shape: found 'sinus', expected constant"),
    ("regions: [us-east-1]\nfaults: ['crash:leader']", 2, 10, "faults.0: found 'crash:leader', expected KIND:TARGET@"),
    ("regions: [us-east-1]\nfaults: ['crush:one@5s']", 2, 10, "unknown kind of fault 'crush'; did you mean 'crash'?"),
    (
        "regions: [us-east-1]\nfaults:\n  - crash:one@5s\n  - pause:one@200s", 4, 5,
        "fault pause:one: it begins at 200s, but the measured window lasts 3m",
    ),
    (
        "regions: [us-east-1]\nrepository: {url: 'https://example.org/remora.git'}", 2, 13,
        "`repository` in the settings is not used: etcd is installed from packages; did you mean `protocol: remora`?",
    ),
    ("regions: [us-east-1]\ndedicated_clients: 9", 2, 20, "need 11 hosts (1 nodes + 9 dedicated clients"),
    ("cloud_provider: aws\nregions: [us-east-1]\nspecs: c7i.large", 1, 1, "operator_cidrs: found none, expected the"),
    ("cloud_provider: gcp\nregions: [a]", 1, 17, "cloud_provider: expected 'aws', 'vultr', 'machines' or 'local'"),
    (
        "cloud_provider: machines\nmachines:\n  - {region: a, address: 192.0.2.1}\nssh_private_key_file: key", 3, 5,
        "machines.0: host_key is missing; `ssh-keyscan -t ed25519 192.0.2.1` prints it",
    ),
]  # fmt: skip
"""Text of the settings, line, column, beginning of the message."""


@pytest.mark.parametrize(("text", "line", "column", "message"), MISTAKES, ids=[each[3][:40] for each in MISTAKES])
def test_mistake_in_settings_has_line_and_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, column: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_SUCH", raising=False)
    Path("s.yaml").write_text(f"{text}\n")
    (problem,) = check_file(Path("s.yaml")).problems
    assert (problem.place.line, problem.place.column) == (line, column), problem
    assert problem.place.file == "s.yaml"
    assert problem.message.startswith(message)


def test_all_mistakes_of_a_file_are_found_in_its_order(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "regions: [us-east-1, mars-1]\nload_shape: sinus\nclient_parameters: {keys: 0}\nfaults: ['crush:one@5s']\n"
    )
    found = check_file(file)
    assert found.kind == "settings"
    assert [(each.place.line, each.message.partition(":")[0]) for each in found.problems] == [
        (1, "regions"),
        (2, "load shape"),
        (3, "client_parameters"),
        (4, "unknown kind of fault 'crush'; did you mean 'crash'?"),
    ]


def test_mistakes_in_a_file_that_settings_name_are_located_there(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text("# x\nhartbeat_ms: 5\n")
    file = tmp_path / "s.yaml"
    file.write_text(f"regions: [us-east-1]\nnode_parameters: {tmp_path}/n.yaml\n")
    (problem,) = check_file(file).problems
    assert str(problem).startswith(f"{tmp_path}/n.yaml, line 2, column 14: node_parameters: unknown parameter")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("name: one\nnode:\n  command: run {{ prt }}\nload: {url: 'http://a/'}\n", (3, 19)),
        ("name: one\nnode:\n  comand: run\nload: {url: 'http://a/'}\n", (3, 11)),
        ("name: one\nnode: {command: run}\nnode: {command: run}\n", (3, 1)),
        ("name: one\nnode: {command: run}\n", (1, 1)),
        ("name: ONE\nnode: {command: run}\nload: {url: 'http://a/'}\n", (1, 7)),
    ],
)
def test_mistake_in_a_described_system_has_line_and_column(tmp_path: Path, text: str, place: tuple[int, int]) -> None:
    file = tmp_path / "system.yaml"
    file.write_text(text)
    assert place in [each.place[1:] for each in check_file(file).problems]


@pytest.mark.parametrize("name", ["settings.local.yaml", "settings.machines.yaml", "declared/redis.yaml"])
def test_examples_are_valid(name: str) -> None:
    assert check_file(ROOT / "assets" / name).problems == ()


@pytest.mark.parametrize("name", ["settings.aws.yaml", "settings.vultr.yaml"])
def test_examples_of_clouds_are_valid_once_the_operator_is_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # An address of its own: values of variables are redacted in all later messages of this process.
    monkeypatch.setenv("OPERATOR_CIDR", "203.0.113.219/32")
    assert check_file(ROOT / "assets" / name).problems == ()


def test_a_missing_file_is_a_problem() -> None:
    found = check_file(Path("nowhere.yaml"))
    assert found.kind is None
    assert [each.message for each in found.problems] == ["cannot read nowhere.yaml: No such file or directory"]
