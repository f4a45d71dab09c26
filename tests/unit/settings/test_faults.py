"""Faults as users write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from benchmark.settings import FaultRequest, Recovery, explain_errors, parse_fault, parse_phase, place_in_phases


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("crash:leader@60s", FaultRequest(kind="crash", target="leader", start=seconds(60))),
        ("partition:halves@30-1m", FaultRequest(kind="partition", target="halves", start=seconds(30), end=seconds(60))),
        (
            "loss:us-east-1-0+eu-west-1,share=30%,spare=a+b,seed=7@250ms-1.5s every 30s",
            FaultRequest(
                kind="loss", target="us-east-1-0+eu-west-1", start=seconds(0.25), end=seconds(1.5), every=seconds(30),
                spare=("a", "b"), seed=7, parameters={"share": "30%"},
            ),
        ),
    ],
)  # fmt: skip
def test_texts_are_read(text: str, expected: FaultRequest) -> None:
    assert parse_fault(text) == expected
    assert FaultRequest.model_validate(expected.model_dump(mode="json")) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crash", "found 'crash', expected KIND:TARGET@START, KIND:TARGET@START-END, "),
        ("crash:one@", "expected KIND:TARGET@START"),
        ("crash:one,share@3s", "expected KIND:TARGET@START"),
        ("crash:one@60s-30s", "crash:one begins at 1m and ends at 30s; write an end after the start"),
        ("crash:one@60q", "crash:one@60q: start: '60q' is not a duration"),
        ("crash:one@3s-9s every 0s", "crash:one is repeated every 0s; write a longer period"),
        ("crash:one,seed=x@3s", "seed: expected a whole number, found 'x'"),
    ],
)
def test_errors_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        parse_fault(text)
    assert message in str(error.value)


PHASES = tuple(map(parse_phase, ("healthy 60s", "attack 20s", "healthy 40s")))


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("crash:one@7s", [(7, None)]),
        ("crash:one@attack", [(60, 80)]),
        ("crash:one@healthy", [(0, 60), (80, 120)]),
        ("crash:one@attack+5s", [(65, None)]),
        ("loss:one,share=3%@attack+5s-20s", [(65, 80)]),
    ],
)
def test_times_in_a_phase_count_from_its_start(text: str, times: list[tuple[float, float | None]]) -> None:
    request = parse_fault(text)
    for fault in (request, FaultRequest.model_validate(request.model_dump(mode="json"))):
        placed = place_in_phases([fault], PHASES)
        assert [(each.start.total_seconds(), each.end and each.end.total_seconds()) for each in placed] == times
        assert {each.phase for each in placed} == {None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crash:one@attack every 30s", "crash:one is in a phase, so it cannot be repeated; omit `every`"),
        ("crash:one@attack+", "expected KIND:TARGET@START"),
        ("crash:one@atack", "fault crash:one: there is no phase 'atack'; known are: healthy, attack"),
        ("crash:one@attack+20s", "fault crash:one: 20s after its start the phase attack 20s is over"),
        ("crash:one@attack+5s-25s", "fault crash:one: 25s after its start the phase attack 20s is over"),
    ],
)
def test_faults_that_no_phase_has_are_an_error(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        place_in_phases([parse_fault(text)], PHASES)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"within": "0%"}, "within: expected more than 0"),
        ({"within": "x%"}, "within: expected a number, found 'x%'"),
        ({"steady": "50ms"}, "steady: expected at least 100ms"),
        ({"steady": "1.05s"}, "steady: 1050ms is no multiple of 100ms"),
    ],
)
def test_a_recovery_that_cannot_be_judged_is_an_error(fields: dict[str, str], message: str) -> None:
    assert Recovery.model_validate({"within": "20%", "steady": "500ms"}).within == 0.2
    with pytest.raises(ValidationError) as error:
        Recovery.model_validate(fields)
    assert message in explain_errors(error.value, Recovery)[0].message
