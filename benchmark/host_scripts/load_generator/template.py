"""Render the bodies of requests from templates."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable
from random import Random

from .fields import ConfigError


class Template:
    """Render the body of each request from a text with placeholders.

    `{{sequence}}` is the number of the request, from 0; `{{key:N}}` one of N keys, drawn at random; `{{value:B}}` B
    random bytes (letters and digits unless encoded). `:base64` at the end of any of them encodes the value.
    """

    _PLACEHOLDER = re.compile(r"(sequence|key|value)(?::([1-9]\d{0,8}))?(:base64)?")

    def __init__(self, text: str, seed: int) -> None:
        """Raise ConfigError if a placeholder is wrong."""
        self._random = Random(seed)
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
        found = self._PLACEHOLDER.fullmatch(name)
        if not found or (found[1] == "sequence") != (found[2] is None):
            raise ConfigError(
                f"found placeholder {{{{{name}}}}}, expected {{{{sequence}}}}, {{{{key:COUNT}}}} or "
                "{{value:BYTES}}, each optionally with :base64 at its end"
            )
        if found[1] == "value":
            return self._values(int(found[2]), bool(found[3]))
        if found[1] == "sequence":
            return _base64(b"%d".__mod__) if found[3] else b"%d".__mod__
        count, draw, digits = int(found[2]), self._random.random, b"key%%0%dd" % len(str(int(found[2]) - 1))
        return _base64(lambda _: digits % int(draw() * count)) if found[3] else lambda _: digits % int(draw() * count)

    def _values(self, size: int, base64: bool) -> Callable[[int], bytes]:
        """Draw from a pool of values generated in advance: 4 MiB in total, but at least 16 and at most 1024 values."""
        raw = [self._random.randbytes(size) for _ in range(max(16, min(1024, (4 << 20) // size)))]
        letters = bytes(b"abcdefghijklmnopqrstuvwxyz012345"[i % 32] for i in range(256))
        pool = [b2a_base64(value, newline=False) if base64 else value.translate(letters) for value in raw]
        draw, count = self._random.random, len(pool)
        return lambda _: pool[int(draw() * count)]


def _base64(make: Callable[[int], bytes]) -> Callable[[int], bytes]:
    return lambda sequence: b2a_base64(make(sequence), newline=False)
