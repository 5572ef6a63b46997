"""Selecting the best of many scores, with ties in index order."""

from __future__ import annotations

import numpy as np

from kayak.typing import Float32Vector, Int64Vector

_MANY = 1 << 16
"""From this many values on, those that cannot be among the best are set aside first: it is several times faster."""

_GROUP = 64


def top_positions(values: Float32Vector, k: int) -> Int64Vector:
    """Return the positions of the `k` greatest values, greatest first, equal values in index order.

    Linear in the number of values: everything above the k-th greatest value is in, and the places left go to
    the first of those equal to it.
    """
    count = len(values)
    if count < _MANY or k >= count // _GROUP or k < 1:
        return _best(values, min(k, count))
    # At least k values reach the k-th greatest maximum of a group, so what lies below it cannot be among the best.
    maxima = np.maximum.reduceat(values, np.arange(0, count, _GROUP))
    near = np.flatnonzero(values >= np.partition(maxima, len(maxima) - k)[len(maxima) - k])
    return near[_best(values[near], k)]


def _best(values: Float32Vector, k: int) -> Int64Vector:
    count = len(values)
    if k == 0:
        return np.empty(0, dtype=np.int64)
    if k == count:
        chosen = np.arange(count, dtype=np.int64)
    else:
        threshold = np.partition(values, count - k)[count - k]
        above = np.flatnonzero(values > threshold)
        ties = np.flatnonzero(values == threshold)[: k - len(above)]
        chosen = np.sort(np.concatenate([above, ties]))
    return chosen[np.argsort(-values[chosen], kind="stable")].astype(np.int64, copy=False)
