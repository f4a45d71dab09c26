"""Raw samples of Prometheus, by time series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # numpy, requests and pyarrow take 0.1 s each to import: only commands that use them pay
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Series:
    """The samples of one time series, ordered by time: `times` (Unix seconds) and `values` have the same length."""

    metric: str
    labels: dict[str, str]
    times: NDArray[np.float64]
    values: NDArray[np.float64]


def join_parts(parts: list[Series]) -> Series:
    """Concatenate consecutive parts of one series."""
    import numpy as np

    times, values = (np.concatenate(arrays) for arrays in zip(*((one.times, one.values) for one in parts), strict=True))
    return Series(parts[0].metric, parts[0].labels, times, values)
