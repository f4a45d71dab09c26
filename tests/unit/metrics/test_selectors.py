"""Selectors as users write them in `metrics`."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.metrics.selectors import Matcher, Selector, parse_selector


def test_a_name_selects_all_series_of_a_metric() -> None:
    assert parse_selector("latency_s") == Selector("latency_s")
    assert parse_selector("ns:latency_s{}") == Selector("ns:latency_s")
    assert Selector("latency_s").matches({"any": "label"})


@pytest.mark.parametrize(
    ("text", "selected", "others"),
    [
        ('x{method="Put"}', [{"method": "Put", "code": "200"}], [{"method": "Get"}, {}]),
        ("x{method != 'Put', }", [{"method": "Get"}, {}], [{"method": "Put"}]),
        ('x{ code=~"2..|304" }', [{"code": "204"}, {"code": "304"}], [{"code": "2044"}, {"code": "404"}, {}]),
        ('x{method="Put",code!~"5.."}', [{"method": "Put"}], [{"method": "Put", "code": "503"}, {"code": "200"}]),
        ('x{path="a\\"},{b\\\\"}', [{"path": 'a"},{b\\'}], [{"path": "a"}]),
        ('x{method=""}', [{}, {"method": ""}], [{"method": "Put"}]),
    ],
)
def test_matchers_select_series_by_their_labels(
    text: str, selected: list[dict[str, str]], others: list[dict[str, str]]
) -> None:
    found = parse_selector(text)
    assert found.name == "x"
    assert all(found.matches(labels) for labels in selected)
    assert not any(found.matches(labels) for labels in others)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.text(alphabet="xab{}=~!\"'\\,()*+?[]0 \n\x00", max_size=30), st.text(max_size=5))
def test_any_text_is_a_selector_or_an_error(text: str, value: str) -> None:
    for candidate in (text, f"x{{a={text}}}", f'x{{a=~"{text}"}}'):
        with suppress(ValueError):
            found = parse_selector(candidate)
            assert parse_selector(found.promql()) == found
            found.matches({"a": value})


@pytest.mark.parametrize("pattern", ["(" * 9999, "a{99999999999}", "[", "(?P<", "x" * 1000])
def test_a_pattern_that_cannot_be_compiled_is_an_error(pattern: str) -> None:
    with suppress(ValueError):
        parse_selector(f'x{{a=~"{pattern}"}}')


def test_labels_that_targets_have_mean_those_that_the_process_exports() -> None:
    assert parse_selector('x{job="import"}').matchers == (Matcher("exported_job", "=", "import"),)


def test_a_selector_is_written_in_promql_with_the_job_of_its_targets() -> None:
    assert parse_selector("x").promql("_sum") == "x_sum"
    found = parse_selector("x{a='1\"', b!~'c|d'}")
    assert found.promql("_sum", "node") == 'x_sum{job="node",a="1\\"",b!~"c|d"}'
    assert parse_selector(found.promql()) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected NAME or NAME{"),
        ("op seconds", "found 'op seconds', expected NAME or NAME{"),
        ("x{method}", 'expected LABEL="VALUE"'),
        ("x{method=Put}", "found 'method=Put' in the braces"),
        ('x{method="Put" code="1"}', 'expected LABEL="VALUE"'),
        ('x{method=~"("}', "is not a regular expression"),
        ('x{method="\\x"}', "is not a text"),
        ('x{code=~"2\\.."}', "is not a text: invalid escape sequence"),
        ('rate(x{method="Put"}[5m])', "expected NAME or NAME{"),
    ],
)
def test_other_texts_are_rejected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("{", r"\{")):
        parse_selector(text)
