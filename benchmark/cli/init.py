"""The command that writes a settings file from five answers."""

from __future__ import annotations

import difflib
import ipaddress
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import yaml

from benchmark.cli import completers
from benchmark.cli.help import Command, Option, examples
from benchmark.cli.parameter_types import parse_loads
from benchmark.cli.target import json_option, prepare_output
from benchmark.errors import UsageError
from benchmark.files import write_atomically
from benchmark.orchestrator.check_files import check_file
from benchmark.protocols.registry import protocol_names
from benchmark.settings import known_regions
from benchmark.settings.editor_schema import SCHEMA_FILE, editor_schema, schema_text
from benchmark.testbed.stack import project_directory

_PROVIDERS = ("local", "aws", "vultr", "machines")
_REGIONS = {
    "local": "us-east-1,eu-west-1,ap-northeast-1",
    "aws": "us-east-1,eu-west-1,ap-northeast-1",
    "vultr": "ewr,fra,nrt",
}
_SPECS = {"aws": "m5d.2xlarge", "vultr": "vc2-4c-8gb"}
_LATER = "host_key"
"""What users add to the file themselves, as only the machines know it."""


@dataclass(frozen=True)
class Question:
    """An option of `init`, and how it is asked for."""

    option: str
    text: str
    default: str | None
    check: Callable[[str], str]
    """Returns the answer in its final form; ValueError if it cannot be used."""


@click.command(
    cls=Command,
    epilog=examples(
        "geobench init",
        "geobench init --yes local.yaml",
        "geobench init aws.yaml --provider aws --regions us-east-1,eu-west-1 \\",
        "    --instances 3 --protocol etcd --operator-cidr 203.0.113.7/32",
    ),
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default="my-settings.yaml")
@click.option(
    "--provider",
    cls=Option,
    section="Answers",
    metavar="PROVIDER",
    help="local, aws, vultr or machines [default: local].",
)
@click.option(
    "--regions",
    cls=Option,
    section="Answers",
    metavar="A,B",
    help="Regions by the provider's names [default: three continents].",
)
@click.option(
    "--machines",
    cls=Option,
    section="Answers",
    metavar="REGION=ADDRESS,…",
    help="Your machines, with --provider machines.",
)
@click.option("--instances", cls=Option, section="Answers", metavar="NUMBER", help="Hosts per region [default: 4].")
@click.option(
    "--user",
    cls=Option,
    section="Answers",
    metavar="LOGIN",
    help="Login with passwordless sudo on your machines [default: root].",
)
@click.option(
    "--protocol",
    cls=Option,
    section="Answers",
    metavar="NAME",
    shell_complete=completers.OF_OPTIONS["--protocol"],
    help="System under test, or FILE.yaml [default: etcd].",
)
@click.option(
    "--operator-cidr",
    cls=Option,
    section="Answers",
    metavar="NETWORK",
    help="Network that may reach cloud hosts over SSH, such as 203.0.113.7/32.",
)
@click.option(
    "--load", cls=Option, section="Answers", metavar="NUMBER", help="First load to try, in tx/s [default: 200]."
)
@click.option("-y", "--yes", is_flag=True, help="Use the defaults of what is not given, and ask nothing.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@json_option
def init(file: Path, yes: bool, force: bool, as_json: bool, **given: str | None) -> None:
    """Write a settings file: answer five questions, or give options.

    FILE is my-settings.yaml by default. Its JSON schema, by which editors complete and check it, is written beside it.
    """
    schema = file.with_name(SCHEMA_FILE)
    schema_now = schema_text(editor_schema())
    if file.exists() and not force:
        raise UsageError(f"{file} exists; choose another name, or replace it with --force")
    if schema.exists() and schema.read_text(encoding="utf-8", errors="replace") != schema_now and not force:
        raise UsageError(f"{schema} exists and is another one; write to another folder, or replace it with --force")
    answers = _answers(given, yes)
    text = settings_text(file, answers)
    _require_valid(text, answers)
    prepare_output(file)
    write_atomically(file, text)
    write_atomically(schema, schema_now)
    if as_json:
        click.echo(json.dumps({"settings": str(file), "schema": str(schema)}))
        return
    click.echo(f"wrote {file} and {schema}; next:")
    for line in _next_steps(file, answers):
        click.echo(f"  {line}")


def _answers(given: dict[str, str | None], yes: bool) -> dict[str, str]:
    """Return the answer to each question, from the options or the user; UsageError if there is nobody to ask."""
    provider = _answer(_PROVIDER, given, yes)
    asked = _questions(provider)
    known = {"provider", *(question.option for question in asked)}
    if unused := [
        f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None and name not in known
    ]:
        raise UsageError(f"{', '.join(unused)}: not used with provider {provider}; leave it out")
    if not yes and not sys.stdin.isatty():
        missing = [f"--{each.option.replace('_', '-')}" for each in asked if given[each.option] is None]
        if missing:
            raise UsageError(f"no terminal to ask on: pass {', '.join(missing)}, or --yes for the defaults")
    return {"provider": provider} | {each.option: _answer(each, given, yes) for each in asked}


def _answer(question: Question, given: dict[str, str | None], yes: bool) -> str:
    option, value = f"--{question.option.replace('_', '-')}", given[question.option]
    if value is None and (yes or not sys.stdin.isatty()):
        value = question.default
    if value is None and (yes or not sys.stdin.isatty()):
        raise UsageError(f"{option} has no default: pass it")
    if value is not None:
        try:
            return question.check(value)
        except ValueError as error:
            raise UsageError(f"{option}: {error}") from None

    def check(text: str) -> str:
        try:
            return question.check(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    answer: str = click.prompt(question.text, default=question.default, value_proc=check, err=True)
    return answer


def _check_provider(text: str) -> str:
    if text not in _PROVIDERS:
        raise ValueError(f"found {text!r}, expected {', '.join(_PROVIDERS)}")
    return text


_PROVIDER = Question("provider", f"Provider ({', '.join(_PROVIDERS)})", "local", _check_provider)


def _questions(provider: str) -> list[Question]:
    """Return the four questions that follow that for the provider."""
    protocol = Question(
        "protocol", f"System under test ({', '.join(protocol_names())} or FILE.yaml)", "etcd", _check_protocol
    )
    load = Question("load", "First load to try, in tx/s", "200", _check_load)
    if provider == "machines":
        return [
            Question("machines", "Your machines (REGION=ADDRESS,…)", None, _check_machines),
            Question("user", "Login with passwordless sudo", "root", _check_user),
            protocol,
            load,
        ]
    regions = Question(
        "regions", "Regions, separated by commas", _REGIONS[provider], lambda text: _check_regions(provider, text)
    )
    instances = Question("instances", "Hosts per region", "4", _check_instances)
    if provider == "local":
        return [regions, instances, protocol, load]
    client = os.environ.get("SSH_CLIENT", "").partition(" ")[0]
    own = f"{client}/32" if re.fullmatch(r"[\d.]+", client) else None
    network = Question("operator_cidr", "Network that may reach the hosts over SSH (ADDRESS/32)", own, _check_network)
    return [regions, instances, protocol, network]


def _check_regions(provider: str, text: str) -> str:
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = [name for name, region in known_regions().items() if provider in ("local", region.provider)]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
            raise ValueError(f"unknown region {name!r}; did you mean {', '.join(near or known[:3])}?")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"found {text!r}, expected different regions such as {_REGIONS[provider]}")
    return ",".join(names)


def _check_machines(text: str) -> str:
    pairs = [pair.strip().partition("=") for pair in text.split(",") if pair.strip()]
    if not pairs or not all(region and address for region, _, address in pairs):
        raise ValueError(f"found {text!r}, expected REGION=ADDRESS,… such as zurich=192.0.2.10,boston=198.51.100.7")
    return ",".join(f"{region}={address}" for region, _, address in pairs)


def _check_user(text: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", text):
        raise ValueError(f"found {text!r}, expected the name of a user")
    return text


def _check_instances(text: str) -> str:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise ValueError(f"found {text!r}, expected a whole number from 1 to 1000")
    return str(int(text))


def _check_protocol(text: str) -> str:
    names = protocol_names()
    if text not in names and not text.endswith((".yaml", ".yml")):
        raise ValueError(f"found {text!r}, expected {', '.join(names)} or FILE.yaml")
    return text


def _check_load(text: str) -> str:
    (load, *others) = parse_loads(text)
    if others:
        raise ValueError(f"found {text!r}, expected one load")
    return str(load)


def _check_network(text: str) -> str:
    return str(ipaddress.ip_network(text))


def settings_text(file: Path, answers: dict[str, str]) -> str:
    """Return the text of a settings file."""
    provider = answers["provider"]
    name = re.sub(r"[^a-z0-9-]+", "-", file.stem.lower()).strip("-")[:31]
    lines = [
        f"# yaml-language-server: $schema={SCHEMA_FILE}",
        "# A testbed and its benchmarks. docs/settings.md describes all fields.",
        f"testbed_id: {name if re.match('[a-z]', name) else 'testbed'}",
        f"cloud_provider: {provider}",
        "",
    ]
    if provider == "machines":
        lines += ["ssh_private_key_file: ~/.ssh/id_ed25519 # a key that all machines accept", *_machine_lines(answers)]
    else:
        lines += ["regions:", *(f"  - {_quoted(region)}" for region in answers["regions"].split(","))]
        if provider in _SPECS:
            lines.append(f"specs: {_SPECS[provider]} # type of all hosts; `pulumi up` shows the price")
        lines.append(
            f"instances: {answers['instances']} # per region; the first host of the first region is the monitoring host"
        )
    if provider in _SPECS:
        lines += [
            "time_to_live: 12h # hosts then shut themselves down",
            "# Networks that may reach the hosts over SSH.",
            f"operator_cidrs: [{_quoted(answers['operator_cidr'])}]",
        ]
    lines += ["", f"protocol: {_quoted(answers['protocol'])}"]
    if provider == "local":
        lines += ["warm_up: 10s", "benchmark_duration: 60s", "scrape_interval: 1s"]
    else:
        lines.append("benchmark_duration: 3m")
    return "\n".join([*lines, ""])


def _machine_lines(answers: dict[str, str]) -> list[str]:
    """Return the machines; only they know their host keys, which are never accepted blindly."""
    lines = [
        "# Add the host key of each: `ssh-keyscan -t ed25519 ADDRESS` prints it, compare it with the machine's.",
        "machines:",
    ]
    for pair in answers["machines"].split(","):
        region, _, address = pair.partition("=")
        fields = f"region: {_quoted(region)}, address: {_quoted(address)}, user: {_quoted(answers['user'])}"
        lines.append(f"  - {{{fields}}} # host_key: …")
    return lines


def _quoted(text: str) -> str:
    """Return a text as YAML, quoted where it would be something else."""
    return str(yaml.safe_dump([text], default_flow_style=True, width=1000)).strip()[1:-1]


def _require_valid(text: str, answers: dict[str, str]) -> None:
    """Raise UsageError if the answers do not make a testbed on which the system can run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "settings.yaml")
        path.write_text(text, encoding="utf-8")
        found = [each.message for each in check_file(path).problems if _LATER not in each.message]
    if found:
        raise UsageError("the answers do not make a testbed: " + "; ".join(found))


def _next_steps(file: Path, answers: dict[str, str]) -> list[str]:
    project = project_directory()
    path = file.resolve()
    shown = path.relative_to(project) if path.is_relative_to(project) else path
    steps = [] if answers["provider"] != "machines" else [f"add the host keys to {file}"]
    steps.append(f"pulumi stack init {file.stem} && pulumi config set settings {shown}")
    return [*steps, "pulumi up", f"geobench run --loads {answers.get('load', '200')}"]
