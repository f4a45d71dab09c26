"""Scripts that are copied to hosts and run there. Nothing in this package runs on the operator's machine."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def read_script(name: str) -> str:
    """Return the text of the script called `name`, such as `probe.sh`."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
