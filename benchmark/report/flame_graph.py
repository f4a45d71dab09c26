"""Draw flame graphs: how often each stack was sampled, as one self-contained SVG file.

Brendan Gregg, "The Flame Graph", ACM Queue 14(2), 2016: the width of a frame is its share of the samples, callers lie
below callees, siblings are in alphabetical order and colours mean nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape

WIDTH, ROW, HEAD = 1200, 18, 60
UNKNOWN = "[unknown]"
"""How perf calls a function of which it knows no name."""
_LEAST_SHARE = 0.0005
_SCRIPT = """
const frames = [...document.querySelectorAll('.frame')];
const parts = frame => [+frame.dataset.from, +frame.dataset.share];
function zoom(from, share) {
  for (const frame of frames) {
    const [start, width] = parts(frame);
    const left = Math.max(0, (start - from) / share), right = Math.min(1, (start + width - from) / share);
    const shown = right - left > 0.0003;
    frame.style.display = shown ? '' : 'none';
    if (!shown) continue;
    const box = frame.querySelector('rect'), text = frame.querySelector('text');
    box.setAttribute('x', left * WIDTH); box.setAttribute('width', (right - left) * WIDTH);
    text.setAttribute('x', left * WIDTH + 4);
    const room = Math.floor((right - left) * WIDTH / 7) - 1, name = frame.dataset.name;
    text.textContent = room < 3 ? '' : name.length > room ? name.slice(0, room - 1) + '…' : name;
  }
}
for (const frame of frames) frame.addEventListener('click', () => zoom(...parts(frame)));
zoom(0, 1);
""".replace("WIDTH", str(WIDTH))


@dataclass
class _Frame:
    name: str
    samples: int = 0
    callees: dict[str, _Frame] = field(default_factory=dict)

    def depth(self) -> int:
        return 1 + max((callee.depth() for callee in self.callees.values()), default=0)


def flame_graph(stacks: Mapping[tuple[str, ...], int], title: str) -> str:
    """Draw sampled stacks (outermost frame first, with their counts) as SVG; a click on a frame zooms in."""
    root = _Frame("all")
    for frames, samples in stacks.items():
        frame = root
        frame.samples += samples
        for name in frames:
            frame = frame.callees.setdefault(name, _Frame(name))
            frame.samples += samples
    rows = root.depth()
    height = HEAD + rows * ROW + 10
    drawn = "\n".join(_draw(root, 0, 0, root.samples, rows))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="100%" font-family="sans-serif">
<style>
text {{ font-size: 12px; pointer-events: none }}
.frame {{ cursor: pointer }} .frame:hover rect {{ stroke: #000 }}
</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="10" y="22" style="font-size: 16px">{escape(title)}</text>
<text x="10" y="42" fill="#555">{root.samples} samples; width is the share of samples, callers are below; click \
a frame to zoom in, the lowest one to zoom out</text>
{drawn}
<script><![CDATA[{_SCRIPT}]]></script>
</svg>
"""


def share_without_names(stacks: Mapping[tuple[str, ...], int]) -> float:
    """Return the share of the samples whose innermost function has no known name; 0 without samples."""
    total = sum(stacks.values())
    nameless = sum(count for frames, count in stacks.items() if frames and frames[-1] == UNKNOWN)
    return nameless / total if total else 0.0


def _draw(frame: _Frame, depth: int, before: int, total: int, rows: int) -> Iterator[str]:
    """Yield the frame and all frames above it; `before` samples are to its left."""
    share = frame.samples / total if total else 1.0
    if share < _LEAST_SHARE:
        return
    name = escape(frame.name, quote=True)
    y = HEAD + (rows - 1 - depth) * ROW
    start = before / total if total else 0.0
    left, width = start * WIDTH, share * WIDTH
    room = int(width / 7) - 1
    label = "" if room < 3 else escape(frame.name if len(frame.name) <= room else f"{frame.name[: room - 1]}…")
    seed = zlib.crc32(frame.name.encode())  # the same warm colour for the same name
    fill = f"rgb({205 + seed % 50},{seed // 50 % 180 + 50},{seed // 9000 % 55})"
    yield (
        f'<g class="frame" data-name="{name}" data-from="{start:.6f}" data-share="{share:.6f}">'
        f"<title>{name}: {frame.samples} samples, {share * 100:.1f} %</title>"
        f'<rect x="{left:.2f}" y="{y}" width="{width:.2f}" height="{ROW - 1}" fill="{fill}"/>'
        f'<text x="{left + 4:.2f}" y="{y + 13}">{label}</text></g>'
    )
    for callee in sorted(frame.callees.values(), key=lambda each: each.name):
        yield from _draw(callee, depth + 1, before, total, rows)
        before += callee.samples
