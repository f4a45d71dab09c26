"""Flame graphs: widths are shares, rows are depths, names are escaped."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from benchmark.report.flame_graph import ROW, UNKNOWN, WIDTH, flame_graph, share_without_names

STACKS = {("main", "a"): 6, ("main", "b", "c"): 3, ("idle",): 1}
SVG = "{http://www.w3.org/2000/svg}"


def frames(drawn: str) -> dict[str, tuple[float, float, float]]:
    """Read each frame's left edge, width and height above the lowest row."""
    groups = [group for group in ET.fromstring(drawn).iter(f"{SVG}g") if group.get("class") == "frame"]
    boxes = {str(group.get("data-name")): group.find(f"{SVG}rect") for group in groups}
    found = {
        name: (round(float(box.get("x", "")), 2), float(box.get("width", "")), float(box.get("y", "")))
        for name, box in boxes.items()
        if box is not None
    }
    lowest = max(y for _, _, y in found.values())
    return {name: (x, width, (lowest - y) / ROW) for name, (x, width, y) in found.items()}


def test_frames_have_the_width_of_their_share_above_their_caller() -> None:
    assert frames(flame_graph(STACKS, "node-0")) == {
        "all": (0, WIDTH, 0),
        "idle": (0, 0.1 * WIDTH, 1),
        "main": (0.1 * WIDTH, 0.9 * WIDTH, 1),
        "a": (0.1 * WIDTH, 0.6 * WIDTH, 2),
        "b": (0.7 * WIDTH, 0.3 * WIDTH, 2),
        "c": (0.7 * WIDTH, 0.3 * WIDTH, 3),
    }


def test_frame_title_contains_its_samples() -> None:
    drawn = flame_graph(STACKS, "node-0")
    assert "<title>main: 9 samples, 90.0 %</title>" in drawn
    assert "10 samples" in drawn


def test_names_with_markup_are_escaped() -> None:
    name = 'std::vector<int>::operator&&"]]>'
    drawn = flame_graph({(name,): 1}, "<script>alert(1)</script>")
    assert set(frames(drawn)) == {"all", name}
    assert len(re.findall("<script>", drawn)) == 1


def test_frames_too_narrow_to_see_are_omitted() -> None:
    found = frames(flame_graph({("busy",): 99_999, ("rare",): 1}, "node-0"))
    assert set(found) == {"all", "busy"}


def test_the_same_name_has_the_same_colour() -> None:
    drawn = flame_graph({("x", "same"): 1, ("y", "same"): 1}, "node-0")
    colours = re.findall(r'data-name="same".*?fill="(rgb[^"]+)"', drawn)
    assert len(colours) == 2
    assert len(set(colours)) == 1


def test_no_stacks_are_an_empty_graph() -> None:
    assert set(frames(flame_graph({}, "node-0"))) == {"all"}


def test_samples_whose_innermost_function_has_no_name_are_counted() -> None:
    stacks = {("etcd", UNKNOWN, UNKNOWN): 3, ("etcd", UNKNOWN, "futex_wait"): 1}
    assert share_without_names(stacks) == 0.75
    assert share_without_names({}) == 0
