from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from factories.result_factory import write_run

from benchmark.report.map import great_circle, name_places, world_chart
from benchmark.report.run_data import read_record

NEW_YORK, LONDON, TOKYO, SYDNEY = (-74.0, 40.7), (-0.1, 51.5), (139.7, 35.7), (151.2, -33.9)


def unit(points: np.ndarray) -> np.ndarray:
    longitude, latitude = np.radians(points).T
    return np.stack([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], 1)


@pytest.mark.parametrize(("a", "b"), list(combinations([NEW_YORK, LONDON, TOKYO, SYDNEY], 2)))
def test_great_circle_is_the_shortest_path(a: tuple[float, float], b: tuple[float, float]) -> None:
    way = great_circle(a, b)
    way = way[np.isfinite(way[:, 0])]
    assert way[0] == pytest.approx(a)
    assert way[-1] == pytest.approx(b)
    points = unit(way)
    steps = np.arccos(np.clip(np.sum(points[1:] * points[:-1], axis=1), -1, 1))
    whole = np.arccos(np.clip(points[0] @ points[-1], -1, 1))
    assert steps.sum() == pytest.approx(whole, rel=1e-6)
    assert steps == pytest.approx(np.full(len(steps), whole / len(steps)), rel=1e-5)


def test_lines_across_the_date_line_are_split() -> None:
    way = great_circle(NEW_YORK, TOKYO)
    steps = np.abs(np.diff(way[:, 0]))
    assert np.isnan(way[:, 0]).sum() == 1, "once over the date line"
    assert np.nanmax(steps) < 60


def test_line_from_a_place_to_itself_is_a_point() -> None:
    assert great_circle(LONDON, LONDON).tolist() == [list(LONDON), list(LONDON)]


def test_names_of_near_regions_do_not_cover_each_other() -> None:
    places = {
        "us-east-1": (-77.5, 39.0),
        "us-east-2": (-83.0, 40.0),
        "ca-central-1": (-73.6, 45.5),
        "ewr": (-74.2, 40.7),
    }
    boxes = []
    for name, (x, y, align) in name_places(places, dict.fromkeys(places, 1)).items():
        left = x if align == "left" else x - 3.3 * len(name)
        boxes.append((left, y, left + 3.3 * len(name)))
    for a, b in combinations(boxes, 2):
        assert abs(a[1] - b[1]) >= 6.5 or a[2] <= b[0] or b[2] <= a[0]


def test_unknown_place_gives_no_map(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    chart = world_chart(read_record(folder))
    assert chart is not None
    assert chart.rows[0] == ("us-east-1", -77.49, 39.04, 1)
    assert ">81 ms<" in chart.svg(), "the mean of 72 ms to Tokyo and 90 ms back"
    text = (folder / "manifest.json").read_text().replace("eu-west-1", "my-cellar")
    (folder / "manifest.json").write_text(json.dumps(json.loads(text)))
    assert world_chart(read_record(folder)) is None
