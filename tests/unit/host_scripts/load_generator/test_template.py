"""Bodies of requests: placeholders, and the distributions of keys and sizes."""

from __future__ import annotations

import base64
import json
import re
import statistics
from collections import Counter

import pytest

from benchmark.host_scripts.load_generator.template import Template


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


def test_numbered_keys_are_the_number_of_the_request() -> None:
    body = Template('{"key": "{{key:300:zipf=0.99:base64}}", "value": {{value:5}}}', seed=1, numbered=True)
    keys = [base64.b64decode(body.render(n).split(b'"')[3]).decode() for n in range(300)]
    assert keys == [f"key{n:03d}" for n in range(300)]
    assert body.key_counts == {300}


def test_a_new_seed_gives_other_keys_and_values() -> None:
    body = Template("{{key:100000}}{{value:9}}{{value:uniform=5-9}}", seed=1)
    first = [body.render(n) for n in range(9)]
    body.seed(2)
    other = [body.render(n) for n in range(9)]
    assert first != other


ZIPF_MEAN = sum(size**0.01 for size in range(1, 1001)) / sum(size**-0.99 for size in range(1, 1001))


@pytest.mark.parametrize(
    ("sizes", "least", "most", "mean"),
    [("uniform=20-100", 20, 100, 60.0), ("uniform=7-7", 7, 7, 7.0), ("zipf=1000", 1, 1000, ZIPF_MEAN)],
)
def test_sizes_of_values_follow_their_distribution(sizes: str, least: int, most: int, mean: float) -> None:
    plain, encoded = Template(f"{{{{value:{sizes}}}}}", 1), Template(f"{{{{value:{sizes}:base64}}}}", 1)
    found = [len(plain.render(n)) for n in range(20_000)]
    assert min(found) == least
    assert most * 0.99 <= max(found) <= most
    assert statistics.fmean(found) == pytest.approx(mean, rel=0.05)
    decoded = [len(base64.b64decode(encoded.render(n), validate=True)) for n in range(20_000)]
    assert statistics.fmean(decoded) == pytest.approx(mean, rel=0.05)


def test_popular_keys_are_the_same_for_all_seeds_and_spread_over_all_keys() -> None:
    popular = []
    for seed in (1, 2):
        body = Template("{{key:1000:zipf=0.99}}", seed)
        counts = Counter(body.render(n) for n in range(50_000))
        popular.append([int(key[3:]) for key, _ in counts.most_common(4)])
        share = 1 / sum(rank**-0.99 for rank in range(1, 1001))
        assert counts.most_common(1)[0][1] / 50_000 == pytest.approx(share, rel=0.05)
        assert {len(key) for key in counts} == {len("key000")}
    assert popular[0] == popular[1]
    gaps = [b - a for a, b in zip(sorted(popular[0]), sorted(popular[0])[1:], strict=False)]
    assert min(gaps) > 100
