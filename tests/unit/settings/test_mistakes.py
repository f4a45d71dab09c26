"""Common mistakes in settings files: the error has line and column, and says what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.errors import SettingsError
from benchmark.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("instances: 4\ninstances: 5", "2, column 1: 'instances' is already set in line 1; remove one of them"),
        ("regions: us-east-1", "1, column 10: regions: expected a list: `regions: [us-east-1]`, found 'us-east-1'"),
        ("instances: four", "1, column 12: instances: expected a whole number, found 'four'"),
        ("instances: 0", "1, column 12: instances: expected at least 1, found 0"),
        (
            "testbed_id: My_Testbed",
            "1, column 13: testbed_id: expected up to 31 lower-case letters, digits and dashes, starting with a letter",
        ),
        ("regions: [us-east-1, no]", "1, column 22: regions.1: expected a text, found no; quote it: 'no'"),
        ("specs: 2", "1, column 8: specs: expected a text or fields as `name: value`, found 2"),
        ("repository: {url: 1.0}", "1, column 19: repository.url: expected a text, found 1.0; quote it: '1.0'"),
        ("nvme: maybe", "1, column 7: nvme: expected true or false, found 'maybe'"),
        (
            "cloud_provider: gcp",
            "1, column 17: cloud_provider: expected 'aws', 'vultr', 'machines' or 'local', found",
        ),
        ("network: {loss: 2}", "1, column 17: network.loss: expected less than 1, found 2"),
        ("disk: {size: 10G}", "1, column 14: disk.size: '10G' is not a size; write a number and its unit: 500MB"),
        ("disk: {size: 1MB}", "1, column 14: disk.size: found 1MB, expected 16MB to 16TB"),
        ("disk: {bandwidth: 5MB}", "1, column 19: disk.bandwidth: '5MB' is not a bandwidth; write a number and its"),
        ("disk: {bandwidth: 5KB/s}", "1, column 19: disk.bandwidth: found 5KB/s, expected at least 1MB/s"),
        ("disk: {durable: false, size: 1GB}", "1, column 7: disk: `size` and `bandwidth` need `durable: true`; remove"),
        ("scrape_interval: 10ms", "1, column 18: scrape_interval: expected at least 200ms, found 10ms"),
        ("time_to_live: 60s", "1, column 15: time_to_live: expected at least 10m, found 1m"),
        ("warm_up: 99999999999d", "1, column 10: warm_up: '99999999999d' is longer than 36500 days"),
        ("warm_up: soon", "1, column 10: warm_up: 'soon' is not a duration; write seconds or a unit"),
        ("working_dir: a b", "1, column 14: working_dir: expected letters, digits, '.', '_', '-' and '/', found 'a b'"),
        ("token_file: ~nosuchuser/x", "1, column 13: token_file: '~nosuchuser/x': the user has no home folder here"),
        ("instnces: 4", "1, column 11: unknown field 'instnces'; did you mean 'instances'?"),
        (
            "machines:\n- {region: a, address: b, prot: 1}",
            "2, column 33: unknown field 'machines.0.prot'; did you",
        ),
        ('"\\e[31m": 1', "1, column 11: unknown field "),
    ],
)
def test_mistake_is_explained_at_its_place(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text + ("" if "regions:" in text else "\nregions: [a]") + "\n")
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert str(error.value).startswith(f"{file}, line {expected}")
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("instances: 3\n", "line 1, column 1: regions: list at least one, such as `regions: [us-east-1]`, found []"),
        (
            "# x\nregions: []\n",
            "line 2, column 10: regions: list at least one, such as `regions: [us-east-1]`, found []",
        ),
        (
            "# x\ncloud_provider: machines\n",
            "line 2, column 1: cloud_provider is machines, but `machines` is empty; list at least one",
        ),
    ],
)
def test_missing_values_are_reported_at_the_field_or_the_beginning(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert str(error.value) == f"{file}, {expected}"


def test_all_variables_that_are_not_set_are_reported_once(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("regions: [a, '${NO_REGION}']\nrepository: {url: '${NO_URL}'}\noperator_cidrs: ['${NO_CIDR}']\n")
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert str(error.value).splitlines() == [
        f"{file}, line {place}: {field}: ${{{name}}} is not set in the environment; `export {name}=…` first"
        for place, field, name in (
            ("1, column 14", "regions.1", "NO_REGION"),
            ("2, column 19", "repository.url", "NO_URL"),
            ("3, column 18", "operator_cidrs.0", "NO_CIDR"),
        )
    ]


def test_settings_are_equal_wherever_they_come_from(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("# x\nregions: [a]\n")
    found = load_settings(file)
    assert found == Settings(regions=("a",))
    assert found.located("wrong", "regions") == f"{file}, line 2, column 10: wrong"
    assert found.model_copy().located("wrong", "regions", 0) == f"{file}, line 2, column 11: wrong"
    assert Settings(regions=("a",)).located("wrong", "regions") == "wrong"
    assert load_settings(file, {"regions": ["b"]}).located("wrong", "regions") == "wrong"


def test_errors_in_overriding_values_have_no_line_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("regions: [a]\ninstances: 3\n")
    with pytest.raises(SettingsError) as error:
        load_settings(file, {"instances": "x"})
    assert str(error.value) == f"{file}: instances: expected a whole number, found 'x'"
