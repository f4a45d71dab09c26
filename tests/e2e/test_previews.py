"""Resources that `pulumi preview` of the example settings creates, as documented."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fakes.pulumi_stack import Stack

from tools.performance.preview import CLOUDS, ROOT, measure, stack_in_clouds

pytestmark = pytest.mark.e2e

HOSTS = 100


def documented() -> dict[str, int]:
    """The resources of each cloud in the row of the documentation's table for that many hosts."""
    text = (ROOT / "docs/clouds.md").read_text(encoding="utf-8")
    title = "| hosts | AWS: resources | AWS: s | Vultr: resources | Vultr: s |\n"
    found = re.search(
        rf"^{re.escape(title)}(?:\|.*\n)*?\| {HOSTS} \| (\d+) \| \d+ \| (\d+) \| \d+ \|$", text, re.MULTILINE
    )
    assert found, f"no row for {HOSTS} hosts below {title}"
    return {"aws": int(found[1]), "vultr": int(found[2])}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack_in_clouds(tmp_path_factory.mktemp("previews"), "previews") as made:
        yield made


@pytest.mark.parametrize("cloud", CLOUDS)
def test_preview_creates_as_many_resources_as_documented(stack: Stack, cloud: str) -> None:
    found, _ = measure(stack, cloud, HOSTS)
    assert found == documented()[cloud]
