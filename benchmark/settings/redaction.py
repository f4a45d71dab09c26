"""Keep credentials out of messages and results."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(https?://)[^\s/@]+@")


def redact(text: str) -> str:
    """Return `text` without user names and passwords in web addresses."""
    return _CREDENTIALS.sub(r"\1", text)
