"""Pages in a real browser: what is drawn, and what a script that looks at them finds."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--force-device-scale-factor=1",
)  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"
DEADLINE_S = 300
_FRAMES = """<!DOCTYPE html><meta charset="utf-8"><body>{frames}<pre id="found"></pre>
<script>
{script}
addEventListener("load", async () => {{
  let found;
  try {{
    found = await look(Object.fromEntries([...document.querySelectorAll("iframe")].map((each) => [each.id, each])));
  }} catch (error) {{ found = {{ error: String(error.stack || error) }}; }}
  document.getElementById("found").textContent = JSON.stringify(found);
}});
</script>"""


def require_chromium() -> None:
    """Fail the test with what to do if there is no browser."""
    if not shutil.which("chromium"):
        pytest.fail(
            "chromium is missing: tools/setup/install_packages.sh tools/setup/debian-packages-tests.txt installs it"
        )


class Browser:
    """Chromium with a profile in `folder`."""

    def __init__(self, folder: Path) -> None:
        require_chromium()
        self.folder = folder

    def open(self, page: Path, *flags: str) -> str:
        """Open a page with further flags and return what the browser prints."""
        return self._run(page, flags).stdout

    def look(self, pages: Mapping[str, tuple[Path, int]], script: str, *flags: str, scripts: bool = True) -> Any:
        """Open pages in frames of a given width and return what the function `look` of a script returns.

        It is called with the frames by name. A message of a page on the console, such as an error, fails the test.
        Without `scripts`, those of the pages do not run.
        """
        sandbox = "" if scripts else ' sandbox="allow-same-origin"'
        frames = "".join(
            f'<iframe id="{name}" src="{html.escape(page.as_uri())}" width="{width}" height="900"{sandbox}></iframe>'
            for name, (page, width) in pages.items()
        )
        outer = self.folder / "frames.html"
        outer.write_text(_FRAMES.format(frames=frames, script=script), encoding="utf-8")
        # Pages in files may look into each other; the time is that of the pages, which pass it quickly.
        more = (
            "--allow-file-access-from-files",
            "--virtual-time-budget=60000",
            "--enable-logging=stderr",
            "--dump-dom",
        )
        done = self._run(outer, (*flags, *more))
        messages = [line for line in done.stderr.splitlines() if "CONSOLE" in line and "is sandboxed" not in line]
        assert not messages, messages
        text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
        assert text, "the script did not end"
        assert text[1], "the script did not end"
        found = json.loads(html.unescape(text[1]))
        assert not (isinstance(found, dict) and "error" in found), found
        return found

    def _run(self, page: Path, flags: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        command = ["chromium", *FLAGS, f"--user-data-dir={self.folder / 'profile'}", *flags, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
