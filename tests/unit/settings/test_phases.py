"""Phases as users write them, and how they fill the measured window."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from benchmark.errors import SettingsError
from benchmark.settings import PhaseRequest, Settings, load_settings, parse_phase, parse_settings
from benchmark.settings.phases import starts

MINUTE = timedelta(seconds=60)


@pytest.mark.parametrize("text", ["attack 60s", "attack:60s", "attack : 1m", " attack  60 "])
def test_texts_are_read(text: str) -> None:
    phase = parse_phase(text)
    assert phase == PhaseRequest(name="attack", duration=MINUTE)
    assert PhaseRequest.model_validate(phase.model_dump(mode="json")) == phase


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("attack", "found 'attack', expected NAME DURATION"),
        ("attack 60q", "attack 60q: duration: '60q' is not a duration"),
        ("attack 0.5s", "attack 0.5s: duration: expected at least 1s, found"),
        ("attack 1.25s", "1250ms is no multiple of 100ms, in which requests are counted"),
        ("2nd 60s", "name: expected a name of letters, digits, '_' and '-' that begins with a letter, found '2nd'"),
    ],
)
def test_errors_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        parse_phase(text)
    assert message in str(error.value)


def test_phases_follow_one_another_and_set_the_duration() -> None:
    settings = Settings.model_validate({"regions": ["a"], "phases": ["healthy 60s", "attack 30s", "healthy 60s"]})
    assert settings.benchmark_duration == timedelta(seconds=150)
    assert [each.total_seconds() for each in starts(settings.phases)] == [0, 60, 90]
    again = parse_settings(settings.model_dump(), "again")
    assert (again.phases, again.benchmark_duration) == (settings.phases, settings.benchmark_duration)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "benchmark_duration: 3m\nphases: [healthy 60s, attack 1m]\n",
            "column 9: phases: the phases last 2m together (healthy 1m, attack 1m), but benchmark_duration is 3m",
        ),
        (
            "phases:\n  - healthy 60s\n  - attack\n",
            "line 4, column 5: phases.1: found 'attack', expected NAME DURATION",
        ),
        ("phases: healthy 60s\n", "line 2, column 9: phases: expected a list: `phases: [healthy 60s]`"),
        (
            "phases: [healthy 60s]\nfaults: [crash:one@atack]\n",
            "line 3, column 9: faults: fault crash:one: there is no phase 'atack'; known are: healthy",
        ),
        (
            "phases: [healthy 60s, attack 5s]\nfaults: [crash:one@attack+6s]\n",
            "line 3, column 9: faults: fault crash:one: 6s after its start the phase attack 5s is over",
        ),
        ("faults: [crash:one@attack]\n", "there is no phase 'attack'; known are: none; write `phases`"),
    ],
)
def test_phases_that_do_not_fit_are_an_error_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"regions: [a]\n{text}")
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert message in str(error.value)
