"""Settings are read from files and stack configurations; errors in either are explained."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmark.errors import SettingsError
from benchmark.settings import (
    BuildSettings,
    Disk,
    Settings,
    configured_settings,
    load_settings,
    parse_settings,
    parse_value,
    stack_settings,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text("regions: [a, b]\ninstances: 2\n")
    return path


def configured(file: Path, **values: object) -> object:
    config = {f"geobench:{name}": value for name, value in values.items()}
    return configured_settings(file.parent, {"geobench:settings": file.name, "aws:region": "x"} | config, "stack dev")


def test_stack_configuration_overrides_the_file(file: Path) -> None:
    found = configured(file, instances="8", benchmark_duration="90s", regions='["c"]', nvme=False)
    expected = load_settings(file).model_copy(
        update={"instances": 8, "benchmark_duration": timedelta(seconds=90), "regions": ("c",), "nvme": False}
    )
    assert found == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[1", "stack dev: geobench:instances: found '[1', line 1, column 3: not YAML: expected ',' or ']'"),
        (
            "2026-02-30",
            "geobench:instances: found '2026-02-30', line 1, column 1: cannot read '2026-02-30' as timestamp; quote it",
        ),
        ("many", "instances: expected a whole number, found 'many'"),
        ("0", "instances: expected at least 1, found 0"),
    ],
)
def test_invalid_value_in_the_configuration_is_an_error(file: Path, value: str, message: str) -> None:
    with pytest.raises(SettingsError) as found:
        configured(file, instances=value)
    assert message in str(found.value)
    assert "\n" not in str(found.value)


def test_configuration_without_a_settings_file_is_an_error(file: Path) -> None:
    with pytest.raises(SettingsError, match="stack dev: geobench:settings is not set; run `pulumi config set settings"):
        configured_settings(file.parent, {"geobench:instances": "3"}, "stack dev")


def test_configuration_that_is_no_mapping_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text("config: [1]\n")
    with pytest.raises(SettingsError, match=r"Pulumi\.dev\.yaml: config: found list, expected fields as `name: value`"):
        stack_settings(tmp_path, "dev")


def test_values_are_parsed_as_yaml() -> None:
    assert [parse_value(text, "x") for text in ("4", "[a, b]", "{a: 1}", "true", "text", "")] == [
        4, ["a", "b"], {"a": 1}, True, "text", None,
    ]  # fmt: skip
    with pytest.raises(SettingsError) as found:
        parse_value("[https://token@example.org/x", "repository")
    assert "https://example.org/x" in str(found.value)
    assert "token" not in str(found.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"regions: [a]\n\xff\xfe\n", "is not a text file in UTF-8"),
        (b"\x7fELF\x02\x01\x00", "not YAML: unacceptable character"),
        (b"regions: [a\n", "s.yaml, line 2, column 1: not YAML"),
        (
            b"regions: [a]\ntestbed_id: 2026-02-30\n",
            "line 2, column 13: cannot read '2026-02-30' as timestamp",
        ),
        (b"- a\n", "found list, expected fields as `name: value`"),
        (b"regions: [a]\n3: 4\n", "expected fields as `name: value`"),
    ],
)
def test_invalid_file_is_an_error(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(SettingsError) as found:
        load_settings(file)
    assert message in str(found.value)


def test_missing_file_and_folder_are_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*none\.yaml: No such file"):
        load_settings(tmp_path / "none.yaml")
    with pytest.raises(SettingsError, match="Is a directory"):
        load_settings(tmp_path)


def test_all_errors_are_listed_with_similar_names_for_unknown_fields() -> None:
    fields = {"regions": ["a"], "instnces": 3, "network": {"loss": 2}, "comittee": 3}
    with pytest.raises(SettingsError) as found:
        parse_settings(fields, "here", ("committee",))
    assert sorted(str(found.value).splitlines()) == [
        "here: network.loss: expected less than 1, found 2",
        "here: unknown field 'comittee'; did you mean 'committee'?",
        "here: unknown field 'instnces'; did you mean 'instances'?",
    ]
    with pytest.raises(SettingsError, match="unknown field 'profile'; it is called 'load_shape' now"):
        parse_settings({"regions": ["a"], "profile": "ramp"}, "here")
    with pytest.raises(SettingsError, match=r"unknown field .comittee.; docs/settings"):
        parse_settings({"regions": ["a"], "comittee": 3}, "here")


@pytest.mark.parametrize("name", ["../../x", "a/b", "..", ".hidden", "a\n", "", "-a"])
def test_region_names_that_could_be_paths_are_rejected(name: str) -> None:
    machine = {"region": name, "address": "192.0.2.1"}
    for fields in ({"regions": [name]}, {"cloud_provider": "machines", "machines": [machine]}):
        with pytest.raises(
            SettingsError, match=r"is not a valid region name; use letters, digits|it is empty; give it a value"
        ):
            parse_settings(fields, "file")


def test_region_names_may_contain_spaces_and_letters_of_any_language() -> None:
    assert parse_settings({"regions": ["São Paulo 2", "us-east-1"]}, "file").regions == ("São Paulo 2", "us-east-1")


def test_a_disk_is_written_as_it_was_read() -> None:
    given = {"durable": True, "size": "64MB", "bandwidth": "200MB/s"}
    found = Settings.model_validate({"testbed_id": "t", "regions": ["us-east-1"], "disk": given})
    assert found.model_dump(mode="json")["disk"] == given
    assert Settings.model_validate(found.model_dump(mode="json")) == found
    assert found.disk.describe("geobench") == "64MB at geobench, 200MB/s"
    volatile = Disk(durable=False)
    assert Disk.model_validate(volatile.model_dump(mode="json")) == volatile
    assert volatile.describe("geobench") == "durable: false"


def test_operator_networks_are_normalized_and_deduplicated() -> None:
    fields = {"cloud_provider": "vultr", "regions": ["ewr"], "specs": "vc2-4c-8gb"}
    given = ["203.0.113.7", "203.0.113.7/32", "2001:db8:0::/48"]
    found = parse_settings({**fields, "operator_cidrs": given}, "file")
    assert found.operator_cidrs == ("203.0.113.7/32", "2001:db8::/48")
    with pytest.raises(SettingsError, match=r"has host bits set; write a network such as 203\.0\.113\.7/32"):
        parse_settings({**fields, "operator_cidrs": ["203.0.113.7/24"]}, "file")


def beside(provider: str, *addresses: str) -> dict[str, object]:
    """The fields of a testbed of machines and one other region."""
    machines = [{"region": "lab", "address": address} for address in addresses]
    region = f"{provider}:one" if provider != "machines" else "lab"
    return {"cloud_provider": "machines", "machines": machines, "regions": [region]}


@pytest.mark.parametrize("provider", ["aws", "vultr"])
def test_machines_that_cloud_firewalls_cannot_admit_are_an_error(provider: str) -> None:
    with pytest.raises(SettingsError) as found:
        parse_settings(beside(provider, "198.51.100.7", "lab.example.org", "2001:db8::7"), "file")
    message = "file: found machines.1.address lab.example.org, machines.2.address 2001:db8::7, expected IPv4 addresses"
    assert str(found.value).startswith(message)
    assert "`getent ahostsv4 NAME` shows the address" in str(found.value)
    parse_settings(beside(provider, "198.51.100.7", "198.51.100.8"), "file")


@pytest.mark.parametrize("provider", ["machines", "local"])
def test_machines_may_have_names_in_testbeds_without_cloud_hosts(provider: str) -> None:
    assert parse_settings(beside(provider, "lab.example.org", "2001:db8::7"), "file").machines


def test_variables_in_the_build_command_are_left_to_the_shell_of_the_host(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("regions: [a]\nbuild: {command: 'make PREFIX=${BUILD_CACHE}', outputs: [x]}\n", encoding="utf-8")
    build = load_settings(path).build
    assert build == BuildSettings(command="make PREFIX=${BUILD_CACHE}", outputs=("x",))
    path.write_text("regions: [a]\nbuild: {outputs: ['${NOT_SET_ANYWHERE}']}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"NOT_SET_ANYWHERE.*is not set"):
        load_settings(path)


def test_misspelt_field_of_the_build_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"unknown field 'build.comand'; did you mean 'command'\?"):
        parse_settings({"regions": ["a"], "build": {"comand": "make"}}, "settings.yaml")


@pytest.mark.parametrize(
    "folder", ["/", "//", "/etc", "/run/x", "//usr/local", "/./etc", "/srv", "/home/", "a/../..", "-rf", "/srv/../etc"]
)
def test_a_working_dir_of_the_system_is_rejected(folder: str) -> None:
    with pytest.raises(ValidationError, match=r"belongs to the system|contains `\.\.`"):
        Settings(testbed_id="t", regions=["us-east-1"], working_dir=folder)


@pytest.mark.parametrize(
    "folder", ["geobench", "a/b", "/srv/mine", "/data", "/mnt/nvme/geobench", "/home/ada", "/tmp/x"]
)
def test_a_working_dir_of_its_own_is_accepted(folder: str) -> None:
    assert Settings(testbed_id="t", regions=["us-east-1"], working_dir=folder).working_dir == folder


@pytest.mark.parametrize(
    "fields",
    [
        {"results_dir": ""},
        {"load_shape": ""},
        {"protocol": ""},
        {"warm_up": ""},
        {"repository": {"url": ""}},
        {"specs": ""},
    ],
)
def test_an_empty_text_is_an_error_and_not_the_default(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="it is empty; give it a value or remove the field"):
        Settings.model_validate({"regions": ["a"]} | fields)
