"""Whether a difference between two results may be chance: the paired permutation test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from kayak.errors import InvalidInputError, InvalidTypeError, MissingDependencyError
from kayak.values.coerce import non_negative_int

if TYPE_CHECKING:
    from kayak.evaluation.results import EvaluationResult

_SEED = 0


@attrs.frozen
class SignificanceTest:
    """Result of a two-sided paired permutation test. `print` it for a sentence.

    Attributes:
        metric: what was compared.
        first: name of the first result.
        second: name of the second result.
        first_mean: its mean.
        second_mean: its mean.
        p_value: how often a random exchange of the two results of each query gives at least this difference.
        query_count: queries compared.
    """

    metric: str
    first: str
    second: str
    first_mean: float
    second_mean: float
    p_value: float
    query_count: int

    @property
    def difference(self) -> float:
        """Mean of the first minus mean of the second."""
        return self.first_mean - self.second_mean

    def to_dict(self) -> dict[str, Any]:
        """Return the test as plain JSON values."""
        return {**attrs.asdict(self), "difference": self.difference}

    def __str__(self) -> str:
        return (
            f"{self.metric}: {self.first} {self.first_mean:.4f}, {self.second} {self.second_mean:.4f}, difference "
            f"{self.difference:+.4f}, p = {self.p_value:.4f} (paired permutation test, {self.query_count:,} queries)"
        )


def paired_permutation_test(
    first: EvaluationResult, second: EvaluationResult, metric: str, resamples: int
) -> SignificanceTest:
    """Test the difference of two means over the same queries; see `EvaluationResult.compare`."""
    count = non_negative_int(resamples, "resamples", minimum=1)
    if not hasattr(second, "values") or not hasattr(second, "queries"):
        raise InvalidTypeError(f"expected an EvaluationResult to compare with, got {type(second).__name__}")
    one, other = first.values(metric), second.values(metric)
    if one.keys() != other.keys():
        only = min(one.keys() ^ other.keys())
        raise InvalidInputError(
            f"the results are not over the same queries: {only!r} is in one of them only; evaluate both with the same "
            "queries and qrels"
        )
    if len(one) < 2:
        raise InvalidInputError(f"a paired test needs at least two queries, and here is {len(one)}")
    a, b = np.array(list(one.values())), np.array([other[query_id] for query_id in one])
    return SignificanceTest(
        metric, first.name, second.name, float(a.mean()), float(b.mean()), _p_value(a, b, count), len(one)
    )


def _p_value(a: Any, b: Any, resamples: int) -> float:
    try:
        from scipy.stats import permutation_test
    except ImportError as error:
        raise MissingDependencyError(
            "the significance test needs scipy; install it with `pip install 'kayak-core[eval]'`"
        ) from error
    if np.array_equal(a, b):
        return 1.0
    found = permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(_SEED),
    )
    return float(found.pvalue)
