"""Options generated from models, and the overrides of the two sides of a comparison."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel, Field

from benchmark.cli import repeat_option
from benchmark.cli.options import SearchOptions, SweepOptions, apply_overrides, options_of, retries_option
from benchmark.errors import SettingsError, UsageError
from benchmark.orchestrator.retry import RETRIES
from benchmark.plan.request import RunOptions, make_request, request_to_dict
from benchmark.plan.source import describe
from benchmark.settings import Settings


def settings(**fields: Any) -> Settings:
    return Settings.model_validate({"regions": ["a", "b"]} | fields)


def test_overrides_set_options_and_nested_fields() -> None:
    base = settings(node_parameters={"heartbeat_ms": 100, "snapshot_count": 5})
    words = ["committee=3", "node_parameters.heartbeat_ms=50", "duration=9s"]
    options = RunOptions(name="both")
    changed, side = apply_overrides(base, options, words)
    assert changed.node_parameters == {"heartbeat_ms": 50, "snapshot_count": 5}
    assert side == RunOptions(name="both", committee=3, duration=timedelta(seconds=9))
    assert base.node_parameters == {"heartbeat_ms": 100, "snapshot_count": 5}
    assert options.committee is None


def test_an_override_may_be_a_settings_file(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("regions: [a, b]\nnode_parameters: {heartbeat_ms: 70}\n")
    overrides = [str(tmp_path / "b.yaml"), "committee=5"]
    changed, options = apply_overrides(settings(dedicated_clients=2), RunOptions(), overrides)
    assert changed.node_parameters == {"heartbeat_ms": 70}
    assert changed.dedicated_clients == 2
    assert options.committee == 5


def test_credentials_of_a_repository_stay_out_of_the_request() -> None:
    base = settings(repository={"url": "https://secret-token@example.org/x", "commit": "main"})
    changed, options = apply_overrides(base, RunOptions(), ["commit=abc"])
    assert changed.repository == base.repository
    assert options.commit == "abc"
    request = make_request(settings(), RunOptions(), (10,), Path("r"))
    assert request_to_dict(request)["source"] is None
    assert "secret-token" not in (describe(base.repository) or "")
    assert (describe(base.repository) or "").endswith("example.org/x at main")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("comittee=3", "comittee=3: unknown field 'comittee'; did you mean 'committee'?"),
        ("instnces=3", "did you mean 'instances'?"),
        ("network.los=3", "unknown field 'network.los'; did you mean 'loss'?"),
        ("committee=three", "expected a whole number, found 'three'"),
        ("committee=²", "expected a whole number, found '²'"),
        ("dedicated_clients=x", "expected a whole number, found 'x'"),
        ("instances=[1", "instances: found '[1', line 1, column 3: not YAML"),
        (
            "name=2026-02-30",
            "name: found '2026-02-30', line 1, column 1: cannot read '2026-02-30'",
        ),
        ("protocol.x=1", "protocol.x: protocol is 'etcd', which has no fields; set protocol=VALUE"),
        ("regions.0=x", "regions is ('a', 'b'), which has no fields"),
        ("repository.url.x=1", "repository.url.x: url is 'https://example.org/x', which has no fields"),
        ("repository=[https://token@example.org/", "repository: its secret would be stored with the results"),
        ("node_parameters.password=token", "node_parameters.password: its secret would be stored"),
    ],
)
def test_invalid_options_are_reported(word: str, message: str) -> None:
    base = settings(repository={"url": "https://token@example.org/x"})
    with pytest.raises((SettingsError, UsageError), match=re.escape(message)) as found:
        apply_overrides(base, RunOptions(), [word])
    assert "token" not in str(found.value)


def test_all_invalid_options_of_a_variant_are_reported_together() -> None:
    with pytest.raises(SettingsError) as found:
        apply_overrides(settings(), RunOptions(), ["instances=many", "disk_gb=1"])
    assert [line.partition(": ")[2].partition(":")[0] for line in str(found.value).splitlines()] == [
        "instances", "disk_gb",
    ]  # fmt: skip


def test_requests_differ_where_settings_changed() -> None:
    before = request_to_dict(make_request(settings(), RunOptions(), (10, 20), Path("r")))
    other = settings(node_parameters={"heartbeat_ms": 7})
    after = request_to_dict(make_request(other, RunOptions(), (10, 20), Path("r")))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"node_parameters", "parameters"}
    assert before["loads"] == [10, 20]


def parse(model: type[BaseModel], *arguments: str) -> BaseModel | str:
    """Parse arguments by the options generated from a model; return the model, or the output of the error."""
    found: list[BaseModel] = []

    @click.command()
    @options_of("options", model)
    def command(options: BaseModel) -> None:
        found.append(options)

    done = CliRunner().invoke(command, arguments)
    return found[0] if found else done.output


def test_every_field_of_the_run_options_is_an_option() -> None:
    arguments = [
        "--committee=4", "--duration=90s", "--warm-up=0", "--load-shape=ramp", "--dedicated-clients=0",
        "--protocol=etcd", "--commit=main", "--repository=https://x.org/a", "--binaries=b", "--snapshot", "--verify",
        "--faults=crash:leader@1s", "--slo=p99=500ms", "--phases=attack 60s",
            "--name=n",
    ]  # fmt: skip
    found = parse(RunOptions, *arguments)
    assert isinstance(found, RunOptions)
    assert set(found.model_dump(exclude_defaults=True)) == set(RunOptions.model_fields)
    assert (found.duration, found.binaries, found.dedicated_clients) == (timedelta(seconds=90), Path("b"), 0)
    assert parse(RunOptions) == RunOptions()


def test_a_new_field_is_a_new_option() -> None:
    class More(RunOptions):
        priority: int | None = Field(default=None, ge=1)
        """How urgent it is."""

    assert parse(More, "--priority", "2", "--committee", "3") == More(committee=3, priority=2)
    assert "found 0, expected at least 1" in str(parse(More, "--priority", "0"))
    assert "--priority NUMBER" in str(parse(More, "--help"))
    assert "How urgent it is." in str(parse(More, "--help"))


@pytest.mark.parametrize(
    ("words", "loads"),
    [
        (["--loads", "100,200"], (100, 200)),
        (["--loads", "100", "200"], (100, 200)),
        (["--loads=100", "200"], (100, 200)),
        (["--loads=100:1000:300"], (100, 400, 700, 1000)),
        (["--loads", "100:900:400", "50"], (100, 500, 900, 50)),
    ],
)
def test_loads_are_words_lists_or_ranges(words: list[str], loads: tuple[int, ...]) -> None:
    assert parse(SweepOptions, *repeat_option(words)) == SweepOptions(loads=loads)


def test_help_states_the_defaults_of_the_settings() -> None:
    text = " ".join(str(parse(RunOptions, "--help")).split())
    default = Settings.model_fields["benchmark_duration"].default
    assert f"benchmark_duration in the settings, else {default.total_seconds():g} s]" in text
    assert f"protocol in the settings, else {Settings.model_fields['protocol'].default}]" in text


def test_options_may_repeat_have_defaults_and_other_names() -> None:
    assert parse(SweepOptions, "--loads", "5", "--loads", "7") == SweepOptions(loads=(5, 7))
    assert "found '0', expected at least 1" in str(parse(SweepOptions, "--loads", "0"))
    assert parse(SearchOptions, "--from", "3", "--limit", "p99=1s") == SearchOptions(start=3, limits=("p99=1s",))
    assert "[default: 20000]" in str(parse(SearchOptions, "--help"))


def test_default_retries_match_those_of_the_orchestrator() -> None:
    @click.command()
    @retries_option
    def command(retries: int) -> None:
        click.echo(retries)

    assert CliRunner().invoke(command).output == f"{RETRIES}\n"
