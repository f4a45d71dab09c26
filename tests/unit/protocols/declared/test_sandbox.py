"""Templates from strangers reach no Python objects, and end within limits of time and memory."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import SettingsError
from benchmark.protocols.declared import sandbox
from benchmark.protocols.declared.templates import Templates
from benchmark.protocols.registry import find_protocol
from benchmark.settings.document import parse_document

NODES = [{"name": f"node-{i}", "address": f"198.18.0.{i}", "region": "ab"[i % 2]} for i in range(3)]
NAMES = {"nodes": NODES, "node": NODES[0], "parameters": {"file_bytes": 3}}


def render(text: str) -> str:
    document = parse_document("text: |\n" + "".join(f"  {line}\n" for line in text.splitlines() or [""]), "s.yaml")
    return Templates(document).render(("text",), str(document.content["text"]), NAMES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ nodes | map(attribute='address') | join(',') }}", "198.18.0.0,198.18.0.1,198.18.0.2"),
        ("{% for g in nodes | groupby('region') %}{{ g.grouper }}={{ g.list | length }} {% endfor %}", "a=2 b=1 "),
        ("{% macro m(x) %}<{{ x }}{{ caller() }}>{% endmacro %}{% call m(2) %}b{% endcall %}", "<2b>"),
        ("{% set ns = namespace(x=0) %}{% for n in nodes %}{% set ns.x = ns.x + 2 %}{% endfor %}{{ ns.x }}", "6"),
        ("""{{ 'a,b'.split(',') | last }}{{ "%02d" | format(3) }}{{ "%s" % 1 }}{{ [1, 2] | tojson }}""", "b031[1, 2]"),
        ("{% for k, v in {'x': 1} | items %}{{ k }}{{ v }}{{ loop.index }}{% endfor %}", "x11"),
        ("{{ nodes[0]['name'] }}{{ nodes[-1].name[:3] }}{{ 2 ** 10 * 3 }}{{ 'ab' * 2 }}", "node-0nod3072abab"),
        ("{{ parameters.nothing is defined }}{{ parameters.nothing | default(4) }}", "False4"),
        ("{% filter upper %}a{% endfilter %}{{ range(4) | sum }}{{ 1.26 | round(1) }}", "A61.3"),
        ("{% for n in nodes if n != node %}{{ n.name | replace('node', 'n') }}{% endfor %}", "n-1n-2"),
    ],
)
def test_templates_can_use_loops_macros_and_filters(text: str, expected: str) -> None:
    assert render(text).rstrip("\n") == expected


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("{{ cycler.__init__.__globals__.os.popen('touch owned').read() }}", "__globals__"),
        ("{{ node.__class__.__mro__ }}", "__mro__"),
        ("{% if false %}{{ nodes.__class__ }}{% endif %}", "__class__"),
        ("{{ nodes | map(attribute='__class__') | list }}", "__class__"),
        ("{{ ''['__class__'] }}", "__class__"),
        ("{{ nodes | attr('__class__') }}", "nodes"),
        ("{{ '{0.__class__}'.format(node) }}", "format"),
        ("{{ range.__self__ }}", "__self__"),
        ("{{ nodes.append(1) }}", "append"),
        ("{{ node.update(a=1) }}", "update"),
        ("{{ self._TemplateReference__context }}", "_TemplateReference__context"),
        ("{{ self }}", "self"),
        ("{{ lipsum() }}", "lipsum"),
        ("{% for n in nodes %}{{ loop._iterable }}{% endfor %}", "_iterable"),
        ("{% include '/etc/passwd' %}", "{% include"),
    ],
)
def test_python_objects_are_out_of_reach(text: str, at: str) -> None:
    with pytest.raises(SettingsError) as error:
        render(text)
    column = text.index(at) + 3
    assert str(error.value).startswith((f"s.yaml, line 2, column {column}: ", "s.yaml, line 2, column 3: "))


def test_hostile_file_runs_nothing_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "popen", lambda command: pytest.fail(f"ran {command}"))
    hostile = "{{ cycler.__init__.__globals__.os.popen('id').read() }}"
    for field in ("{command: C}", "{command: run, prepare: C}", "{command: run, environment: {A: C}}"):
        Path("s.yaml").write_text(f"name: a\nnode: {field.replace('C', json.dumps(hostile))}\nload: {{url: x}}\n")
        protocol = find_protocol("s.yaml")
        with pytest.raises(SettingsError):
            protocol(protocol.node_model(), protocol.client_model())


@pytest.mark.parametrize(
    "text",
    [
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{% macro a(n) %}{% if n %}{% set x = a(n - 1) ~ a(n - 1) %}{% endif %}{% endmacro %}{{ a(60) }}",
        "{% for x in nodes recursive %}{{ loop(nodes) }}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{{ range(99999) | sum }}{% endfor %}",
        "{% for a in range(999999) %}{% endfor %}",
        "{{ 'x' * 10 ** 10 }}",
        "{{ [0] * 10 ** 10 }}",
        "{{ 10 ** 10 ** 10 ** 10 }}",
        "{{ (2 ** 1000) * (2 ** 1000) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' | format(1000000000, 1) }}",
        "{{ 'x'.ljust(10 ** 9) }}",
        "{{ 'x' | indent(10 ** 9, true) }}{{ 'x\n' | indent(10 ** 9) }}",
        "{{ [1, 2] | tojson(indent=10 ** 9) }}",
        "{{ 1.5 | round(10 ** 9, 'floor') }}",
        "{{ ('a' * 1000) | replace('', 'b' * 100000) }}",
        "{{ range(99999) | map('replace', '', 'b' * 1000) | list }}",
        "{{ range(99999) | join('x' * 1000) }}",
        "{{ [[1]] | sum(start=[]) }}",
        "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x=1) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=1) %}{% for i in range(99) %}{% set ns.x = dict(a=ns.x, b=ns.x) %}{% endfor %}",
        "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set x %}{{ ns.x }}{{ ns.x }}{% endset %}"
        "{% set ns.x = x %}{% endfor %}",
        "{% for n in nodes %}" * 30 + "{% endfor %}" * 30,
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ " + "+".join(["1"] * 5000) + " }}",
        '{{ "\\ud800" }}{{ "\\0" }}',
    ],
    ids=range(29),
)
def test_time_and_memory_are_bounded(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "LONGEST_S", 0.05)
    monkeypatch.setattr(sandbox, "LARGEST", 20_000)
    with pytest.raises(SettingsError, match=r"s\.yaml, line \d+, column \d+: "):
        render(text)


WORDS = (
    *("{{ ", " }}", "{% ", " %}", "{#", "#}", "for ", " in ", "if ", "set ", "endfor", "endif", "macro ", "endmacro"),
    *(
        "x",
        "nodes",
        "node",
        "parameters",
        "name",
        "self",
        "loop",
        ".",
        "[0]",
        "(",
        ")",
        "[",
        "]",
        "|",
        "~",
        "*",
        "+",
        "**",
    ),
    *("%", "=", "-", "'a'", "7", "99999999", "range(9)", "replace('a', 'b')", "map(attribute='name')", "join(',')"),
    *("list", "tojson", "sum", "sort", "format(1)", "__class__", "namespace(x=1)", "\n", "🙂"),
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(WORDS), max_size=12).map("".join))
def test_any_text_is_rendered_or_an_error(text: str) -> None:
    with suppress(SettingsError):
        render(text)
