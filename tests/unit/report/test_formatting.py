"""Numbers as reports write them."""

from __future__ import annotations

import pytest

from benchmark.measure.run_metrics import Quantile
from benchmark.report import formatting


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{THIN SPACE}", "'").replace("\N{EN DASH}", "-")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.1354, "135 ms"), (1.5, "1.5 s"), (12.34, "12.3 s"), (0.000082, "82 µs"), (0.0, "0 s"), (0.2, "200 ms"),
        (0.00135, "1.35 ms"), (3e-8, "0.03 µs"), (None, "-"), (float("nan"), "-"),
    ],
)  # fmt: skip
def test_latencies_have_three_digits_and_a_unit(seconds: float | None, text: str) -> None:
    assert plain(formatting.duration(seconds)) == text


def test_error_has_the_unit_of_its_value_and_two_digits() -> None:
    assert plain(formatting.error(0.0008, 0.15)) == "0.8 ms"
    assert plain(formatting.error(0.01234, 1.5)) == "0.012 s"
    assert plain(formatting.error(None, 1.5)) == "-"


@pytest.mark.parametrize(
    ("value", "half", "shown"),
    [
        (0.14983, 0.00066, ("149.8 ms", "0.7 ms")),
        (0.14983, 0.0012, ("149.8 ms", "1.2 ms")),
        (0.14983, 0.03, ("150 ms", "30 ms")),
        (1.5342, 0.012, ("1.534 s", "0.012 s")),
        (0.15, 0.0, ("150 ms", "0 ms")),
    ],
)
def test_a_mean_has_the_digits_that_its_error_allows(value: float, half: float, shown: tuple[str, str]) -> None:
    assert tuple(plain(each) for each in formatting.with_error(value, half)) == shown


def test_bounds_share_a_unit_if_possible() -> None:
    assert plain(formatting.bounds(Quantile(estimate=0.13, lower=0.125, upper=0.16))) == "125-160 ms"
    assert plain(formatting.bounds(Quantile(estimate=0.9, lower=0.75, upper=1.0))) == "750 ms-1 s"
    assert plain(formatting.bounds(Quantile(estimate=2.0, lower=1.98, upper=2.03))) == "1.98-2.03 s"
    assert plain(formatting.bounds(Quantile(estimate=5.0, lower=5.0, upper=None))) == "more than 5 s"
    exact = Quantile(estimate=0.2311, lower=0.231, upper=0.2312)
    assert (plain(formatting.bounds(exact)), formatting.remark(exact)) == ("231 ms", "")
    rounded = Quantile(estimate=0.08248, lower=0.08244, upper=0.08251)
    assert formatting.remark(rounded) == "", "82.4 to 82.5 ms says no more than 82.5 ms"
    assert plain(formatting.remark(Quantile(estimate=0.13, lower=0.125, upper=0.16))) == "125-160 ms"


def test_quantile_above_the_last_bucket_shows_the_bound_it_exceeds() -> None:
    assert plain(formatting.quantile(Quantile(estimate=0.13, lower=0.125, upper=0.16))) == "130 ms"
    assert plain(formatting.quantile(Quantile(estimate=5.0, lower=5.0, upper=None))) == "> 5 s"
    assert plain(formatting.quantile(Quantile(estimate=0.0, lower=0.0, upper=None))) == "-", "nothing completed"


def test_interval_has_the_unit_of_its_value() -> None:
    assert plain(formatting.interval(0.125, 0.16, 0.135)) == "125-160"
    assert plain(formatting.interval(0.9, 1.1, 1.0)) == "0.9-1.1"
    assert plain(formatting.interval(0.9, 1.1, 0.99)) == "900-1100"
    assert plain(formatting.interval(5.0, None, 5.0)) == "5-∞"


def test_plain_numbers_are_ascii() -> None:
    assert formatting.plain(formatting.rate(12345.6)) == "12346"
    assert formatting.plain(formatting.duration(0.1354)) == "135 ms"
    assert formatting.plain(formatting.rate(None)) == "-"


def test_share_below_a_limit_is_never_rounded_up_to_it() -> None:
    found = [plain(formatting.tenths(share)) for share in (0.98, 0.97999, 0.05, 1.0, 0.9999, 1.0012, 0.29)]
    assert found == ["98 %", "97.9 %", "5 %", "100 %", "99.9 %", "100.1 %", "29 %"]


def test_rates_sizes_shares_and_times_are_formatted() -> None:
    assert [plain(formatting.rate(value)) for value in (49.96, 12345.6, None)] == ["50.0", "12'346", "-"]
    assert [plain(formatting.size(value)) for value in (12, 1200.0, 3.3e9, None)] == ["12 B", "1.2 kB", "3.3 GB", "-"]
    assert plain(formatting.share(0.414)) == "41 %"
    assert formatting.moment(1_800_000_000) == "2027-01-15 08:00:00 UTC"
    assert formatting.moment(None) == formatting.NONE


def test_hashes_are_shortened_but_not_versions() -> None:
    assert formatting.version("0123456789abcdef0123456789abcdef01234567") == "0123456789ab"
    assert formatting.version("3.4.23-4+b4") == "3.4.23-4+b4"
