"""Errors that name what is wrong with a configuration."""

from __future__ import annotations

import re

import pytest

from benchmark.host_scripts.load_generator.config import Config
from benchmark.host_scripts.load_generator.fields import ConfigError

Json = dict[str, object]


GOOD: Json = {"rate": 17, "requests": {"url": "http://10.0.0.1:2379/v3/kv/put", "body": "x"}}


def with_request(**fields: object) -> Json:
    return {**GOOD, "requests": {"url": "http://h/", **fields}}


def with_requests(*requests: object) -> Json:
    return {**GOOD, "requests": [*requests]}


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
        (with_request(body="{{value:uniform=9-3}}"), "requests.body: found placeholder {{value:uniform=9-3}}"),
        (with_request(body="{{key:9:zipf=0}}"), "requests.body: found placeholder {{key:9:zipf=0}}"),
        (with_request(body="x", preload=[0, 1]), "requests.preload: found 0 numbers of keys in the body, expected one"),
        (with_request(body="{{key:9}}", preload=[1, 1]), "requests.preload: found [1, 1], expected [PART, PARTS]"),
        (with_request(body="{{key:9}}", preload=[1]), "requests.preload: found [1], expected two whole numbers"),
        (with_requests(), "requests: expected at least one request with a weight above 0"),
        (with_requests({"workload": "a", "url": "x"}), "requests[0].url: found 'x', expected http://HOST:PORT/PATH"),
        (with_requests({"url": "http://h/"}), "requests[0].workload: found None"),
        (with_requests(*[{"workload": "a", "url": "http://h/"}] * 2), "requests: found a workload twice"),
        (with_requests({"workload": "a", "url": "http://h/", "weight": -1}), "requests[0].weight: found -1"),
        (with_requests({"workload": "a.timeout", "url": "http://h/"}), "requests[0].workload: found 'a.timeout'"),
        (with_requests(7), "requests[0]: found 7, expected an object"),
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
