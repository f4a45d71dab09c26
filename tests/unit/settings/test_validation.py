"""Validation errors: one line per field, with what was found, what is accepted and the nearest name."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from benchmark.settings.validation import explain_errors


class Circle(BaseModel, extra="forbid"):
    kind: Literal["circle"]
    radius: float


class Square(BaseModel, extra="forbid"):
    kind: Literal["square"]
    side: float


class Drawing(BaseModel, extra="forbid"):
    name: str = ""
    token: int = 0
    size: int | dict[str, int] | None = None
    shape: Annotated[Circle | Square, Field(discriminator="kind")] | None = None
    shapes: tuple[Circle, ...] = ()
    source: str = Field(default="", alias="from")


def explain(fields: dict[str, object], **options: object) -> list[str]:
    with pytest.raises(ValidationError) as error:
        Drawing.model_validate(fields)
    return [message for _, message in explain_errors(error.value, Drawing, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"nam": "x"}, ["unknown field 'nam'; did you mean 'name'?"]),
        ({"form": "x"}, ["unknown field 'form'; did you mean 'from'?"]),
        ({"zzz": 1}, ["unknown field 'zzz'; known are: from, name, shape, shapes, size, token"]),
        ({"str": 1}, ["unknown field 'str'; known are: from, name, shape, shapes, size, token"]),
        ({"shapes": [{"kind": "circle"}]}, ["shapes.0.radius is missing"]),
        (
            {"shapes": [{"kind": "circle", "radius": 1, "radios": 2}]},
            ["unknown field 'shapes.0.radios'; did you mean 'radius'?"],
        ),
        (
            {"shape": {"kind": "square", "side": 1, "sides": 4}},
            ["unknown field 'shape.square.sides'; did you mean 'side'?"],
        ),
        ({"size": "x"}, ["size: expected a whole number or fields as `name: value`, found 'x'"]),
        ({"size": {"a": "x"}}, ["size.a: expected a whole number, found 'x'"]),
        ({"name": 3}, ["name: expected a text, found 3; quote it: '3'"]),
        ({"name": ["x" * 900]}, [f"name: expected a text, found ['{'x' * 198}…"]),
        ({"name": 3, "nam": 1}, ["name: expected a text, found 3; quote it: '3'",
                                 "unknown field 'nam'; did you mean 'name'?"]),
    ],
)  # fmt: skip
def test_explains_each_field(fields: dict[str, object], expected: list[str]) -> None:
    assert explain(fields) == expected


def test_suggests_other_names() -> None:
    assert explain({"comittee": 1}, also_known=("committee",)) == [
        "unknown field 'comittee'; did you mean 'committee'?"
    ]
    assert explain({"colour": 1}, renamed={"colour": "paint"}) == ["unknown field 'colour'; it is called 'paint' now"]
    assert explain({"zzz": 1}, reference="see the manual") == ["unknown field 'zzz'; see the manual"]
    assert explain({"nam": 1}, noun="parameter") == ["unknown parameter 'nam'; did you mean 'name'?"]


def test_secrets_are_not_shown() -> None:
    (message,) = explain({"token": "s3cret"})
    assert message.startswith("token: expected a whole number")
    assert message.endswith("found 'REDACTED'")
    (message,) = explain({"name": ["https://s3cret@x.org"]})
    assert message == "name: expected a text, found ['https://x.org']"
