"""Request templates, and errors that name what is wrong with a configuration."""

from __future__ import annotations

import base64
import json
import re

import pytest

from benchmark.host_scripts.load_generator.config import Config
from benchmark.host_scripts.load_generator.fields import ConfigError
from benchmark.host_scripts.load_generator.template import Template

Json = dict[str, object]


def test_placeholders_are_replaced_and_encoded() -> None:
    body = Template('{"n":{{sequence}},"k":"{{key:1000:base64}}","v":"{{value:48:base64}}","p":"100%"}', seed=3)
    documents = [json.loads(body.render(n)) for n in range(200)]
    assert [document["n"] for document in documents] == list(range(200))
    keys = {base64.b64decode(document["k"]) for document in documents}
    assert all(re.fullmatch(rb"key\d{3}", key) for key in keys)
    assert len(keys) > 100
    values = {base64.b64decode(document["v"], validate=True) for document in documents}
    assert {len(value) for value in values} == {48}
    assert len(values) > 100
    assert documents[0]["p"] == "100%"


def test_keys_stay_in_range_and_plain_values_are_text() -> None:
    body = Template("{{key:3}} {{value:20}} {{sequence:base64}}", seed=1)
    parts = [body.render(7).decode().split() for _ in range(100)]
    assert {key for key, _, _ in parts} == {"key0", "key1", "key2"}
    assert all(re.fullmatch(r"[a-z0-9]{20}", value) for _, value, _ in parts)
    assert {sequence for _, _, sequence in parts} == {base64.b64encode(b"7").decode()}


def test_equal_seeds_give_equal_bodies() -> None:
    text = "{{key:100000}}{{value:9}}"
    first, again, other = ([Template(text, seed).render(n) for n in range(9)] for seed in (1, 1, 2))
    assert first == again != other


GOOD: Json = {"rate": 17, "requests": {"url": "http://10.0.0.1:2379/v3/kv/put", "body": "x"}}


def with_request(**fields: object) -> Json:
    return {**GOOD, "requests": {"url": "http://h/", **fields}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"requests": GOOD["requests"]}, "rate: found None, expected a number >= 0"),
        ({**GOOD, "rate": "17"}, "rate: found '17', expected a number"),
        ({**GOOD, "rate": True}, "rate: found True"),
        ({**GOOD, "rate": float("nan")}, "rate: found nan"),
        ({**GOOD, "profile": [[0, 1]]}, "rate: found together with profile"),
        ({"requests": GOOD["requests"], "profile": [[1, 5]]}, "profile: expected starts that increase from 0"),
        ({"requests": GOOD["requests"], "profile": [[0, 5], [0, 6]]}, "profile: expected starts that increase from 0"),
        ({"requests": GOOD["requests"], "profile": [[0, 5, 6]]}, "a constant rate in the last segment"),
        ({"requests": GOOD["requests"], "profile": [[0, -5]]}, "profile: found [0, -5], expected [start s, rate]"),
        ({**GOOD, "rrate": 1}, "unknown field rrate"),
        ({**GOOD, "timeout_s": 0}, "timeout_s: found 0.0, expected a number >= 0.001"),
        ({**GOOD, "listen": "18600"}, "listen: found '18600', expected ADDRESS:PORT"),
        ({**GOOD, "start": "later"}, "start: found 'later', expected 'now' or 'go'"),
        ({**GOOD, "targets": ["http://a"]}, "requests.url: found 'http://10.0.0.1:2379/v3/kv/put', expected a path"),
        (with_request(url="https://h/"), "requests.url: found 'https://h/', expected http://HOST:PORT/PATH"),
        (with_request(url="HTTPS://h/"), "TLS is not supported, so let the system also listen without it"),
        (
            with_request(url="http://user:pw@h/x"),
            "found 'http://***@h/x', expected http://HOST:PORT/PATH; credentials go into a header, such as Author",
        ),
        (with_request(url="http://h:0/"), "requests.url: found 'http://h:0/', expected http://HOST:PORT/PATH"),
        (with_request(url="http://h:65536/"), "requests.url: found 'http://h:65536/'"),
        (with_request(url="http://h/a#part"), "requests.url: found 'http://h/a#part'"),
        (with_request(url="http://h/\N{SNOWMAN}"), "requests.url: found"),
        (with_request(expect="ok"), "requests.expect: found 'ok', expected an object"),
        (with_request(expect={"matches": "ok"}), "unknown field requests.expect.matches"),
        (with_request(expect={"no_match": "(ok"}), "requests.expect.no_match: found '(ok', not a regular expression"),
        (with_request(method="HEAD"), "requests.method: found 'HEAD', expected one of GET"),
        (with_request(more=1), "unknown field requests.more"),
        (with_request(headers={"X": "a\r\nb"}), "requests.headers: found 'X'"),
        (with_request(headers={"Connection": "close"}), "Connection is set by the generator itself"),
        (with_request(body="{{nonce}}"), "found placeholder {{nonce}}, expected {{sequence}}"),
        (with_request(body="{{key}}"), "found placeholder {{key}}"),
        (with_request(body="{{key:3"), "a placeholder {{ is not closed"),
        ([], "document: found [], expected an object"),
    ],
)
def test_error_names_the_invalid_field(config: object, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        Config(config)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://h", ("h", 80, "/")),
        ("http://h?a=b", ("h", 80, "/?a=b")),
        ("http://[::1]:81/x", ("[::1]", 81, "/x")),
        ("http://h:1/a@b:c", ("h", 1, "/a@b:c")),
    ],
)
def test_url_is_split_into_host_port_and_path(url: str, target: tuple[str, int, str]) -> None:
    (workload,) = Config({"rate": 1, "requests": {"url": url}}).workloads
    ((host, port, head),) = workload.targets
    assert (host, port, head.split()[1].decode()) == target


@pytest.mark.parametrize(
    ("expect", "body", "met"),
    [
        ({"match": r'"ok":\s*true'}, b'{"ok": true}', True),
        ({"match": r'"ok":\s*true'}, b'{"ok": false}', False),
        ({"no_match": "error"}, b"fine", True),
        ({"no_match": "error"}, b'{"error": 1}', False),
        ({"match": "a", "no_match": "b"}, b"ab", False),
        ({"match": "a", "no_match": "b"}, b"", False),
        ({"match": "\N{SNOWMAN}"}, "a \N{SNOWMAN}".encode(), True),
        ({"match": "0"}, b"10", True),
    ],
)
def test_expectation_is_met_by_what_matches_and_not_by_what_must_not(
    expect: dict[str, str], body: bytes, met: bool
) -> None:
    expected = Config(with_request(expect=expect)).workloads[0].expect
    assert expected is not None
    assert expected.met_by(body) is met
