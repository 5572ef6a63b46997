"""Confidence intervals for a mean recall that hold for any number of queries and any distribution.

Recall of a query lies in [0, 1], most often at or near 1, where the usual intervals fail: a normal or bootstrap
interval of queries that all have recall 1 has width 0. The intervals here come from betting (Waudby-Smith and Ramdas,
Estimating means of bounded random variables by betting, Journal of the Royal Statistical Society B 86, 2024, arXiv
2010.09686). If the mean were m, nobody could expect to win by betting a share λ of a capital on each query's recall
being above m: the capital Π (1 + λ_i (x_i − m)) would stay below 1/α with probability 1 − α (Ville's inequality). So
every m whose capital has reached 1/α is refuted. The only assumption is that queries are an independent sample of
those to come.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from kayak.errors import InvalidInputError, InvalidTypeError

_GRID = 2_000
"""Means tried between 0 and 1."""
_CAP = 0.9
"""Share of the capital that a single query may cost at most."""


@attrs.frozen
class ConfidenceInterval:
    """An interval that holds the mean with a probability of at least `confidence`.

    Attributes:
        low: lower end.
        high: upper end.
        confidence: the probability; each end alone is missed with at most half of the rest.
    """

    low: float
    high: float
    confidence: float

    def __str__(self) -> str:
        return f"[{self.low:.3f}, {self.high:.3f}]"


def mean_interval(values: npt.NDArray[np.float64], confidence: float) -> ConfidenceInterval:
    """Return the interval of the mean of values in [0, 1], which must be in random order."""
    alpha = (1 - confidence) / 2
    return ConfidenceInterval(_lower_bound(values, alpha), 1 - _lower_bound(1 - values, alpha), confidence)


def _lower_bound(values: npt.NDArray[np.float64], alpha: float) -> float:
    """Return a bound that the mean is below with a probability of at most `alpha`."""
    count = len(values)
    seen = np.arange(1, count + 1)
    means = (0.5 + np.cumsum(values)) / (seen + 1)
    variances = (0.25 + np.cumsum((values - means) ** 2)) / (seen + 1)
    before = np.concatenate([[0.25], variances[:-1]])  # a bet knows only the queries before it
    bets = np.sqrt(2 * math.log(1 / alpha) / (count * before))
    means_tried = np.arange(1, _GRID + 1) / _GRID
    stakes = np.minimum(bets[:, None], _CAP / means_tried[None, :])
    capital = np.cumsum(np.log1p(stakes * (values[:, None] - means_tried[None, :])), axis=0).max(axis=0)
    standing = np.flatnonzero(capital < math.log(1 / alpha))
    # Everything below the first mean that stands is refuted; the true one may lie between it and its neighbour.
    return float(means_tried[standing[0]] - 1 / _GRID) if len(standing) else 1.0


def fraction(value: Any, name: str) -> float:
    """Return a number strictly between 0 and 1.

    Raises:
        InvalidTypeError: no number.
        InvalidInputError: not between 0 and 1.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InvalidTypeError(f"{name} must be a number between 0 and 1, got {type(value).__name__} {value!r:.60}")
    if not 0 < value < 1:
        raise InvalidInputError(f"{name} must lie between 0 and 1, both excluded, got {value}")
    return float(value)
