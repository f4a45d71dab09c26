"""Render the bodies of requests from templates."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable
from random import Random

from .fields import ConfigError
from .zipf import Zipf, spread

_SIZE = r"[1-9]\d{0,8}"
_PLACEHOLDER = re.compile(
    rf"(?:sequence"
    rf"|key:(?P<keys>{_SIZE})(?::zipf=(?P<exponent>\d+(?:\.\d+)?))?"
    rf"|value:(?:(?P<size>{_SIZE})|uniform=(?P<least>{_SIZE})-(?P<most>{_SIZE})|zipf=(?P<longest>{_SIZE}))"
    rf")(?P<base64>:base64)?"
)
_EXPECTED = (
    "{{sequence}}, {{key:COUNT}}, {{key:COUNT:zipf=EXPONENT}}, {{value:BYTES}}, {{value:uniform=MIN-MAX}} or "
    "{{value:zipf=MAX}}, each optionally with :base64 at its end"
)
_LETTERS = bytes(b"abcdefghijklmnopqrstuvwxyz012345"[i % 32] for i in range(256))
ZIPF_EXPONENT = 0.99
"""Exponent of YCSB, the benchmark of key-value stores."""


class Template:
    """Render the body of each request from a text with placeholders.

    `{{sequence}}` is the number of the request, from 0. `{{key:N}}` is one of N keys, all equally likely, or with
    `:zipf=EXPONENT` with Zipf's distribution; the popular ones are the same in all generators, and spread over all.
    `{{value:B}}` are B random bytes (letters and digits unless encoded), `{{value:uniform=A-B}}` A to B of them, all
    sizes equally likely, and `{{value:zipf=B}}` 1 to B, mostly few, as YCSB draws the lengths of fields. `:base64` at
    the end of any of them encodes the value.
    """

    def __init__(self, text: str, seed: int, *, numbered: bool = False) -> None:
        """With `numbered`, request n has key n; ConfigError if a placeholder is wrong."""
        self._random, self._numbered = Random(seed), numbered
        self.key_counts: set[int] = set()
        """Numbers of keys of the placeholders."""
        pieces = re.split(r"\{\{(.*?)\}\}", text)
        if any("{{" in literal for literal in pieces[::2]):
            raise ConfigError("a placeholder {{ is not closed by }}")
        literals = [literal.encode().replace(b"%", b"%%") for literal in pieces[::2]]
        self._makers = [self._maker(name) for name in pieces[1::2]]
        self._format = b"%b".join(literals)

    def seed(self, seed: int) -> None:
        """Draw different keys and values from now on."""
        self._random.seed(seed)

    def render(self, sequence: int) -> bytes:
        """Return the body of request `sequence`."""
        return self._format % tuple([make(sequence) for make in self._makers])

    def _maker(self, name: str) -> Callable[[int], bytes]:
        found = _PLACEHOLDER.fullmatch(name)
        if not found or int(found["least"] or 1) > int(found["most"] or 1) or float(found["exponent"] or 1) == 0:
            raise ConfigError(f"found placeholder {{{{{name}}}}}, expected {_EXPECTED}")
        base64 = bool(found["base64"])
        if found["keys"]:
            key = self._key(int(found["keys"]), float(found["exponent"] or 0.0))
            return _base64(key) if base64 else key
        if found["size"]:
            return self._value(int(found["size"]), base64)
        random = self._random.random
        if found["most"]:
            least, sizes = int(found["least"]), int(found["most"]) - int(found["least"]) + 1
            return self._sized_value(lambda: least + int(random() * sizes), int(found["most"]), base64)
        if found["longest"]:
            longest = int(found["longest"])
            return self._sized_value(Zipf(longest, ZIPF_EXPONENT, random).draw, longest, base64)
        return _base64(b"%d".__mod__) if base64 else b"%d".__mod__

    def _key(self, count: int, exponent: float) -> Callable[[int], bytes]:
        random, digits = self._random.random, b"key%%0%dd" % len(str(count - 1))
        self.key_counts.add(count)
        if self._numbered:
            return digits.__mod__
        if not exponent:
            return lambda _: digits % int(random() * count)
        draw, factor = Zipf(count, exponent, random).draw, spread(count)
        return lambda _: digits % (draw() * factor % count)

    def _value(self, size: int, base64: bool) -> Callable[[int], bytes]:
        """Draw from a pool of values generated in advance: 4 MiB in total, but at least 16 and at most 1024 values."""
        raw = [self._random.randbytes(size) for _ in range(max(16, min(1024, (4 << 20) // size)))]
        pool = [b2a_base64(value, newline=False) if base64 else value.translate(_LETTERS) for value in raw]
        random, count = self._random.random, len(pool)
        return lambda _: pool[int(random() * count)]

    def _sized_value(self, draw: Callable[[], int], longest: int, base64: bool) -> Callable[[int], bytes]:
        """Cut values of a drawn size out of random bytes at a random position."""
        positions, random = 1 << 20, self._random.random
        raw = self._random.randbytes(longest + positions)
        if not base64:
            raw = raw.translate(_LETTERS)

        def make(_: int) -> bytes:
            start = int(random() * positions)
            value = raw[start : start + draw()]
            return b2a_base64(value, newline=False) if base64 else value

        return make


def _base64(make: Callable[[int], bytes]) -> Callable[[int], bytes]:
    return lambda sequence: b2a_base64(make(sequence), newline=False)
