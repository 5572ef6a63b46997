"""Plain, slow definitions that implementations are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kayak.contracts import CandidateStageResult, StageResult
from kayak.typing import Float32Matrix
from kayak.values import IndexBlock, IndexSlice, LateIndex, LateScores, SearchHit
from kayak.values.blocks import offsets_from_counts

FloatMatrix = npt.NDArray[np.floating[Any]]
Float64Vector = npt.NDArray[np.float64]

RELATIVE_TOLERANCE = 1e-5
"""How far scores may be from float64 arithmetic, relative to the sum of the magnitudes involved."""

_SMALLEST = 2.0**-149


def exact_scores(query: Float32Matrix, matrices: Iterable[FloatMatrix]) -> tuple[Float64Vector, Float64Vector]:
    """Return MaxSim in float64, and the error that float32 arithmetic may make.

    Args:
        query: shape (query vectors, dimension).
        matrices: one matrix of shape (token vectors, dimension) a document.

    Returns:
        One score a document, Σ_i max_j ⟨q_i, d_j⟩, and 1e-5 × Σ_i max_j Σ_c |q_ic d_jc| a document.
    """
    exact = query.astype(np.float64)
    scores, allowed = [], []
    for matrix in matrices:
        document = matrix.astype(np.float64)
        scores.append((exact @ document.T).max(axis=1).sum())
        magnitude = (np.abs(exact) @ np.abs(document).T).max(axis=1).sum()
        allowed.append(RELATIVE_TOLERANCE * magnitude + query.size * _SMALLEST)
    return np.array(scores, dtype=np.float64), np.array(allowed, dtype=np.float64)


def assert_exact(values: npt.NDArray[Any], query: Float32Matrix, matrices: Sequence[FloatMatrix]) -> None:
    """Require scores that agree with `exact_scores`."""
    expected, allowed = exact_scores(query, matrices)
    assert values.shape == expected.shape, f"{values.shape} scores for {expected.shape} documents"
    errors = np.abs(values.astype(np.float64) - expected)
    worst = int(np.argmax(errors - allowed))
    assert (errors <= allowed).all(), (
        f"document {worst} scores {values[worst]!r}, float64 arithmetic gives {expected[worst]!r}; "
        f"allowed error {allowed[worst]:.3g}"
    )


def matrices_of(index: LateIndex) -> list[Float32Matrix]:
    """Return the token vectors of each document of an index, in order."""
    return [index.document_token_matrix(number) for number in range(index.document_count)]


def ranked(doc_ids: Sequence[str], values: npt.NDArray[Any]) -> list[str]:
    """Return the ids by descending value; equal values keep their order."""
    return [doc_ids[number] for number in np.argsort(-values, kind="stable").tolist()]


def assert_ranking(hits: Sequence[SearchHit], scores: LateScores, *, size: int) -> None:
    """Require the `size` best of `scores`, best first, equal scores in their order."""
    assert len(hits) == size, f"{len(hits)} hits, expected {size}"
    known = dict(zip(scores.doc_ids, scores.values.tolist(), strict=True))
    assert all(hit.doc_id in known for hit in hits), "a hit has no score in `scores`"
    assert [hit.score for hit in hits] == [known[hit.doc_id] for hit in hits], "a hit's score differs from `scores`"
    expected = ranked(scores.doc_ids, scores.values)[:size]
    found = [hit.doc_id for hit in hits]
    assert found == expected, f"hits {found}, but the best scores in order are {expected}"


def outcome(result: CandidateStageResult | StageResult) -> tuple[object, ...]:
    """Return what must be equal between two runs of one stage: hits and scores, to the bit."""
    return result.hits, result.scores.doc_ids, result.scores.values.tobytes()


def as_blocks(index: LateIndex) -> LateIndex:
    """Return the same documents (two or more) in the same order, spread over two blocks and read by position."""
    matrices = matrices_of(index)
    numbers = np.arange(index.document_count, dtype=np.int64)
    slices = []
    for part in (numbers[0::2], numbers[1::2]):
        # The block holds its documents backwards, and one that belongs to no slice.
        stored = [*[matrices[i] for i in part[::-1].tolist()], np.full_like(matrices[0], 7.0)]
        vectors = np.concatenate(stored)
        vectors.flags.writeable = False
        block = IndexBlock(offsets_from_counts(np.array([len(m) for m in stored], dtype=np.int64)), vectors)
        slices.append(IndexSlice(block, np.arange(len(part), dtype=np.int64)[::-1], part))
    return LateIndex(index.doc_ids, tuple(slices), index.layout, index.doc_texts)
