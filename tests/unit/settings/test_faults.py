"""Faults as users write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from benchmark.settings import FaultRequest, parse_fault


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
        ("crash", "found 'crash', expected KIND:TARGET@START, KIND:TARGET@START-END or "),
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
