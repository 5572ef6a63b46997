"""Small collections whose exact results are known or quickly computed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import kayak
import numpy as np


def random_index(count: int = 120, dim: int = 8, seed: int = 0) -> kayak.LateIndex:
    """Return documents of 1 to 12 unit vectors around a centre of their own."""
    generator = np.random.default_rng(seed)
    matrices = []
    for _ in range(count):
        centre = generator.standard_normal(dim)
        rows = centre + 0.8 * generator.standard_normal((int(generator.integers(1, 13)), dim))
        matrices.append((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    return kayak.documents([f"d{number}" for number in range(count)], matrices).pack()


def random_queries(count: int = 30, dim: int = 8, seed: int = 1) -> dict[str, kayak.LateQuery]:
    """Return queries of 2 to 6 vectors."""
    generator = np.random.default_rng(seed)
    return {
        f"q{number}": kayak.query(generator.standard_normal((int(generator.integers(2, 7)), dim)))
        for number in range(count)
    }


def random_qrels(queries: Mapping[str, object], doc_ids: Sequence[str], seed: int = 2) -> dict[str, dict[str, int]]:
    """Return graded judgements, also some that say not relevant."""
    generator = np.random.default_rng(seed)
    return {
        query_id: {
            str(doc_id): int(generator.integers(-1, 4)) for doc_id in generator.choice(doc_ids, 15, replace=False)
        }
        for query_id in queries
    }


def maxsim_by_hand(query: kayak.LateQuery, index: kayak.LateIndex) -> np.ndarray:
    """Return every document's score in float64, one loop at a time."""
    vectors = query.as_vector_matrix().astype(np.float64)
    return np.array(
        [
            sum(float((index.document_token_matrix(d).astype(np.float64) @ row).max()) for row in vectors)
            for d in range(index.document_count)
        ]
    )
