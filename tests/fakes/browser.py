"""A real browser that is remote-controlled over the DevTools protocol: https://chromedevtools.github.io/devtools-protocol/"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from browser import FLAGS, require_chromium
from waiting import wait_for

DEADLINE_S = 120.0
# The lowest contrast of texts, which is WCAG's, with what is behind them; transparent backgrounds are looked through.
_CONTRAST = """(() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (c) => c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => [r, g, b].map(linear)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const found = numbers(getComputedStyle(node).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !node.checkVisibility()) continue;
    if (node.closest("noscript, .hidden, svg")) continue;
    const [a, b] = [luminance(numbers(getComputedStyle(node).color)), luminance(behind(node))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), walker.currentNode.textContent.trim()]);
  }
  return found.sort((x, y) => x[0] - y[0])[0];
})()"""


class Browser:
    """One page of a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, loop: asyncio.Runner) -> None:
        self._socket, self._loop, self._id = socket, loop, 0
        self.complaints: list[str] = []
        """Errors and warnings on the console, exceptions, and requests that failed."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call a method and return its result."""
        return self._loop.run(self._call(method, parameters))

    def open(self, url: str) -> None:
        """Go to a page."""
        self.call("Page.navigate", url=url)
        wait_for(lambda: self.evaluate("document.readyState") == "complete", f"{url} is loaded")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript; one that is a promise is awaited."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, f"{expression}: {found}"
        return found["result"].get("value")

    def resize(self, width: int, height: int = 1000, *, dark: bool = False) -> None:
        """Set the size of the window, and the preferred colours."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, key: str) -> None:
        """Press and release a key, such as `Tab`."""
        codes = {"Tab": 9, " ": 32}
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if key == " " and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=codes[key], **text)

    def screenshot(self, path: Path) -> None:
        """Write a picture of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    async def _call(self, method: str, parameters: dict[str, object]) -> dict[str, Any]:
        self._id += 1
        await self._socket.send_json({"id": self._id, "method": method, "params": parameters})
        async with asyncio.timeout(DEADLINE_S):
            while True:
                message = await self._socket.receive_json()
                if message.get("id") == self._id:
                    assert "error" not in message, f"{method}: {message}"
                    return dict(message["result"])
                self._note(message.get("method", ""), message.get("params", {}))

    def _note(self, method: str, found: dict[str, Any]) -> None:
        if method == "Runtime.consoleAPICalled" and found["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(found["args"]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(found["exceptionDetails"]))
        elif method == "Log.entryAdded" and found["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{found['entry']['text']} {found['entry'].get('url', '')}")


def text(page: Browser, selector: str) -> str:
    return str(page.evaluate(f"document.querySelector({selector!r}).innerText"))


def wait_text(page: Browser, selector: str, part: str) -> None:
    wait_for(lambda: part in text(page, selector), f"{part!r} in {selector}")


def lowest_contrast(page: Browser) -> tuple[float, str]:
    """Return the lowest contrast of a text of the page, and that text."""
    ratio, where = page.evaluate(_CONTRAST)
    return ratio, where


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Yield a browser with a profile in `folder`."""
    require_chromium()
    command = ["chromium", *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            port = int(wait_for(lambda: _port(folder), "chromium listens"))
            with asyncio.Runner() as loop:
                session, socket = loop.run(_connect(port))
                try:
                    yield Browser(socket, loop)
                finally:
                    loop.run(socket.close())
                    loop.run(session.close())
        finally:
            process.terminate()
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _port(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return (folder / "DevToolsActivePort").read_text().partition("\n")[0]
    return ""


async def _connect(port: int) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        pages = await answer.json()
    (page,) = [each for each in pages if each["type"] == "page"]
    return session, await session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
