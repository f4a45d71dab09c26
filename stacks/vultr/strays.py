"""The servers of an account that have the tag of a testbed; see `stacks.strays`."""

from __future__ import annotations

from typing import get_args

from benchmark.settings import Settings
from stacks.cloud.region_args import credentials_file
from stacks.strays import Stray
from stacks.vultr.api import DEFAULT_TOKEN_FILE, Kind, VultrApi
from stacks.vultr.server import describe


def find(settings: Settings) -> list[Stray]:
    """Return all servers of the testbed, of both kinds."""
    return [
        describe(server)
        for kind in get_args(Kind)
        for server in _api(settings).servers(kind)
        if f"testbed_id={settings.testbed_id}" in server.get("tags", [])
    ]


def remove(settings: Settings, stray: Stray) -> None:
    """Delete a server."""
    for kind in get_args(Kind):
        _api(settings).request("DELETE", f"/{kind}/{stray.id}")  # of the other kind there is none


def _api(settings: Settings) -> VultrApi:
    return VultrApi(credentials_file(settings, "vultr") or DEFAULT_TOKEN_FILE)
