"""Options override settings, whether the command line passes them or a journal stored them."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT
from pydantic import ValidationError

from benchmark.errors import UsageError
from benchmark.measure.impact_counts import Criteria
from benchmark.plan.load_shape import rate_segments
from benchmark.plan.request import RunOptions, make_request, request_to_dict
from benchmark.settings import Repository, Settings, parse_fault

SETTINGS = Settings(regions=("a",), load_shape="ramp", dedicated_clients=1, benchmark_duration=timedelta(minutes=3))


def test_settings_are_the_defaults_of_options() -> None:
    request = make_request(SETTINGS, RunOptions(), (10, 20), Path("r"))
    assert (request.loads, request.results_dir) == ((10, 20), Path("r"))
    assert (request.duration_s, request.load_shape, request.dedicated_clients) == (180, "ramp", 1)
    assert (request.warm_up_s, request.find_warm_up) == (15, False), "a ramp never becomes steady"


def test_options_override_settings() -> None:
    options = RunOptions(
        committee=3,
        duration=timedelta(seconds=20),
        warm_up=timedelta(0),
        load_shape="constant",
        dedicated_clients=0,
        snapshot=True,
        name="first",
    )
    request = make_request(SETTINGS, options, (10,), Path("r"))
    assert (request.committee, request.duration_s, request.load_shape) == (3, 20, "constant")
    assert (request.dedicated_clients, request.snapshot, request.name) == (0, True, "first")
    assert (request.warm_up_s, request.find_warm_up) == (0, False)


def test_a_limit_of_latency_needs_a_fault() -> None:
    for text, limit in (("500ms", (0.5, None)), ("p99=500ms", (0.5, 0.99)), ("p99.9=2s", (2.0, 0.999))):
        made = make_request(SETTINGS, RunOptions(slo=text, faults=("crash:leader@1s",)), (10,), Path("r"))
        assert (made.slo_s, made.slo_quantile) == (limit[0], limit[1] and pytest.approx(limit[1]))
    with pytest.raises(UsageError, match="schedule one with --faults, or leave it out"):
        make_request(SETTINGS, RunOptions(slo="500ms"), (10,), Path("r"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p99", "--slo p99: 'p99' is not a duration"),
        ("q99=1s", "expected a latency such as 500ms, or a quantile and its limit such as p99=500ms"),
        ("p100=1s", "--slo p100=1s: expected a latency"),
        ("p0=1s", "--slo p0=1s: expected a latency"),
        ("=1s", "--slo =1s: expected a latency"),
        ("p99=0s", "--slo p99=0s: no request takes 0 s"),
    ],
)
def test_a_limit_that_is_none_is_an_error(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        make_request(SETTINGS, RunOptions(slo=text, faults=("crash:leader@1s",)), (10,), Path("r"))
    assert message in str(error.value)


def test_the_settings_determine_when_a_system_has_recovered() -> None:
    settings = Settings.model_validate({"regions": ["a"], "recovery": {"within": "20%", "steady": "500ms"}})
    made = make_request(settings, RunOptions(slo="p99=500ms", faults=("crash:leader@1s",)), (10,), Path("r"))
    assert (made.criteria.within, made.criteria.steady, made.criteria.slo) == (0.2, 5, "p99=0.5s")
    assert make_request(SETTINGS, RunOptions(), (10,), Path("r")).criteria == Criteria()


def test_phases_set_the_duration_and_the_times_of_faults() -> None:
    options = RunOptions(phases=("healthy 20s", "attack 30s"), faults=("crash:one@attack", "pause:one@3s-4s"))
    made = make_request(SETTINGS, options, (10,), Path("r"))
    assert made.duration_s == 50
    assert [(each.kind, each.start.total_seconds()) for each in made.faults] == [("crash", 20), ("pause", 3)]
    settings = Settings.model_validate({"regions": ["a"], "phases": ["x 30s", "y 15s"], "faults": ["crash:one@y"]})
    (fault,) = make_request(settings, RunOptions(), (10,), Path("r")).faults
    assert (fault.start.total_seconds(), fault.end) == (30, timedelta(seconds=45))


def test_phases_must_fill_the_duration() -> None:
    options = RunOptions(phases=("healthy 20s", "attack 30s"), duration=timedelta(minutes=1))
    expected = r"--phases: the phases last 50s together \(healthy 20s, attack 30s\), but --duration is 1m"
    with pytest.raises(UsageError, match=expected):
        make_request(SETTINGS, options, (10,), Path("r"))
    with pytest.raises(UsageError, match="--phases: found 'attack', expected NAME DURATION"):
        make_request(SETTINGS, RunOptions(phases=("attack",)), (10,), Path("r"))


def test_faults_come_from_files_and_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "more.yaml"
    file.write_text("phases: [healthy 20s, attack 30s]\nfaults: [pause:one@attack]\n")
    made = make_request(SETTINGS, RunOptions(faults=(str(file), "crash:leader@1s")), (10,), Path("r"))
    assert [each.kind for each in made.faults] == ["crash", "pause"]
    assert (made.duration_s, [phase.name for phase in made.phases]) == (50, ["healthy", "attack"])
    file.write_text("faults: [pause:one@attack]\n")
    with pytest.raises(UsageError, match="fault pause:one: there is no phase 'attack'; known are: none"):
        make_request(SETTINGS, RunOptions(faults=(str(file),)), (10,), Path("r"))


@pytest.mark.parametrize("duration", [timedelta(0), timedelta(seconds=14)])
def test_a_duration_without_enough_samples_is_rejected(duration: timedelta) -> None:
    with pytest.raises(UsageError, match=r"is too short to be measured; use at least 15s, 3 scrape intervals of 5s"):
        make_request(SETTINGS, RunOptions(duration=duration), (10,), Path("r"))


@pytest.mark.parametrize("option", ["protocol", "load_shape", "commit", "repository"])
def test_an_empty_option_does_not_mean_that_it_is_not_given(option: str) -> None:
    def request() -> None:
        made = make_request(SETTINGS, RunOptions.model_validate({option: ""}), (10,), Path("r"))
        rate_segments(made.load_shape, 0, 60)

    with pytest.raises(UsageError):
        request()


@pytest.mark.parametrize(
    ("fields", "options", "expected"),
    [
        ({}, RunOptions(), (15, True)),
        ({"warm_up": "2s"}, RunOptions(), (2, False)),
        ({"warm_up": 0}, RunOptions(), (0, False)),
        ({}, RunOptions(load_shape="ramp"), (15, False)),
        ({"benchmark_duration": "3m"}, RunOptions(warm_up=timedelta(seconds=3)), (3, False)),
    ],
)
def test_warm_up_is_detected_unless_it_is_set(
    fields: dict[str, Any], options: RunOptions, expected: tuple[float, bool]
) -> None:
    request = make_request(Settings.model_validate({"regions": ["a"]} | fields), options, (10,), Path("r"))
    assert (request.warm_up_s, request.find_warm_up) == expected


def test_faults_of_the_options_replace_those_of_the_settings() -> None:
    settings = Settings(regions=("a",), faults=(parse_fault("crash:one@1s"),))
    assert make_request(settings, RunOptions(), (10,), Path("r")).faults == settings.faults
    request = make_request(settings, RunOptions(faults=("pause:leader@2s-3s",)), (10,), Path("r"))
    assert request.faults == (parse_fault("pause:leader@2s-3s"),)
    [stored] = request_to_dict(request)["faults"]  # type: ignore[misc]
    assert (stored["kind"], stored["start"], stored["end"]) == ("pause", "2s", "3s")  # type: ignore[index, call-overload]
    with pytest.raises(UsageError, match="--faults: found 'crash', expected KIND:TARGET@START"):
        make_request(settings, RunOptions(faults=("crash",)), (10,), Path("r"))


def test_every_option_has_a_help_text() -> None:
    for name, field in RunOptions.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("committee", "many", "committee=many: expected a whole number, found 'many'"),
        ("committee", "0", "committee=0: expected at least 1, found '0'"),
        ("duration", "soon", "duration=soon: 'soon' is not a duration"),
    ],
)
def test_invalid_option_value_is_rejected(name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        RunOptions().override(name, text)


@pytest.mark.parametrize(
    ("name", "text", "value"), [("committee", "3", 3), ("duration", "2m", timedelta(minutes=2)), ("commit", "1", "1")]
)
def test_option_is_parsed_from_text(name: str, text: str, value: object) -> None:
    assert getattr(RunOptions().override(name, text), name) == value


def test_unknown_option_is_rejected() -> None:
    with pytest.raises(ValidationError, match="profile"):
        RunOptions.model_validate({"profile": "ramp"})


def test_repository_of_the_settings_must_be_used_unless_another_protocol_is_named() -> None:
    settings = Settings(regions=("a",), repository=Repository(url="https://x.org/mysticeti"))
    with pytest.raises(UsageError, match="did you mean `protocol: mysticeti`"):
        make_request(settings, RunOptions(), (1,), Path("results"))
    assert make_request(settings, RunOptions(protocol="etcd"), (1,), Path("results")).source is None
    assert make_request(settings, RunOptions(protocol="mysticeti"), (1,), Path("results")).source == settings.repository


def test_request_is_stored_as_json_without_credentials() -> None:
    settings = SETTINGS.model_copy(update={"repository": Repository(url="https://token@x.org/a", commit="v1")})
    options = RunOptions(protocol="remora", snapshot=True)
    document: Any = json.loads(json.dumps(request_to_dict(make_request(settings, options, (10,), Path("r")))))
    assert document["source"] == "https://x.org/a at v1"
    assert (document["loads"], document["protocol"], document["load_shape"]) == ([10], "remora", "ramp")
    assert document["parameters"]["settings"]["load_shape"] == "ramp"
    assert "token" not in json.dumps(document)


def test_verify_is_the_default_with_faults_where_the_system_supports_it() -> None:
    def verifies(protocol: str = "etcd", **options: object) -> bool:
        return make_request(
            SETTINGS, RunOptions.model_validate({"protocol": protocol, **options}), (10,), Path("r")
        ).verify

    faults = ("crash:one@1s",)
    assert not verifies()
    assert verifies(verify=True)
    assert verifies(faults=faults)
    assert not verifies(faults=faults, verify=False)
    assert not verifies(str(ROOT / "assets" / "declared" / "nginx.yaml"), faults=faults)
