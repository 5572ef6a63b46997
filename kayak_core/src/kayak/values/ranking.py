"""Selecting the best of many scores, with ties in index order."""

from __future__ import annotations

import numpy as np

from kayak.typing import Float32Vector, Int64Vector


def top_positions(values: Float32Vector, k: int) -> Int64Vector:
    """Return the positions of the `k` greatest values, greatest first, equal values in index order.

    Linear in the number of values: everything above the k-th greatest value is in, and the places left go to
    the first of those equal to it.
    """
    count = len(values)
    k = min(k, count)
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
