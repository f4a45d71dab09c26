"""Draw integers with Zipf's distribution."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, expm1, gcd, log, log1p


class Zipf:
    """Draw ranks of 1 to `count`, where rank k has a probability proportional to k^-exponent.

    Rejection-inversion (Hoermann and Derflinger 1996, "Rejection-inversion to generate variates from monotone discrete
    distributions"), which is exact and needs neither tables nor time that grows with `count`.
    """

    def __init__(self, count: int, exponent: float, random: Callable[[], float]) -> None:
        """Take uniform random numbers from `random`; the exponent is above 0."""
        self._count, self._exponent, self._random = count, exponent, random
        self._first = self._integral(1.5) - 1.0
        self._range = self._integral(count + 0.5) - self._first
        self._accepted = 2.0 - self._inverse(self._integral(2.5) - self._density(2.0))

    def draw(self) -> int:
        """Return a rank."""
        while True:
            area = self._first + self._random() * self._range
            x = self._inverse(area)
            rank = max(1, min(self._count, int(x + 0.5)))
            if rank - x <= self._accepted or area >= self._integral(rank + 0.5) - self._density(rank):
                return rank

    def _density(self, x: float) -> float:
        return exp(-self._exponent * log(x))

    def _integral(self, x: float) -> float:
        slope = 1.0 - self._exponent
        return expm1(slope * log(x)) / slope if slope else log(x)

    def _inverse(self, area: float) -> float:
        slope = 1.0 - self._exponent
        return exp(log1p(max(-1.0 + 1e-16, slope * area)) / slope if slope else area)


def spread(count: int) -> int:
    """Return a factor that, modulo `count`, maps consecutive ranks to distinct numbers far apart.

    It is close to the golden ratio of `count`, so that every prefix of the ranks is spread evenly.
    """
    factor = max(1, round(count * 0.6180339887498949))
    while gcd(factor, count) > 1:
        factor += 1
    return factor
