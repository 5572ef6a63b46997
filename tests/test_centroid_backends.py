"""Centroid interaction in NumPy and in compiled kernels: the same arithmetic, and plans that find the same."""

from __future__ import annotations

import kayak
import kayak_centroids
import numpy as np
import pytest
from kayak_centroids.numpy_kernels import NumpyCentroidKernels

pytestmark = pytest.mark.skipif(
    kayak.MOJO_EXACT_CPU_BACKEND not in kayak.available_backends(), reason="kayak-mojo has no kernels here"
)


def unit(seed: int, count: int, dim: int = 128) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_the_kernels_agree() -> None:
    executor = kayak.find_executor(kayak.MOJO_EXACT_CPU_BACKEND)
    assert isinstance(executor, kayak.CentroidExecutor)
    centroids = unit(1, 300)
    ours, theirs = executor.centroid_kernels(centroids), NumpyCentroidKernels(centroids)
    vectors = unit(2, 4000)
    codes, similarities = ours.assign(vectors)
    expected, exact = theirs.assign(vectors)
    np.testing.assert_allclose(similarities, exact, atol=1e-6)
    assert (codes == expected).mean() > 0.999  # only near ties may differ
    probed, found = ours.probe(vectors[:40], 17)
    also, exact = theirs.probe(vectors[:40], 17)
    np.testing.assert_allclose(found, exact, atol=1e-6)
    documents = np.sort(np.random.default_rng(3).permutation(300 * 50)[:9000])
    offsets = np.searchsorted(documents, np.arange(301) * 50)
    postings = (documents % 50).astype(np.int32)
    bounds = np.array([0, 15, 40])
    np.testing.assert_array_equal(
        ours.accumulate(also, exact, bounds, offsets, postings, 50),
        theirs.accumulate(also, exact, bounds, offsets, postings, 50),
    )
    assert (probed == also).mean() > 0.99


def test_plans_find_the_same() -> None:
    rng = np.random.default_rng(4)
    themes = unit(5, 200)
    matrices = [themes[rng.integers(0, 200, 12)] + 0.03 * rng.standard_normal((12, 128)) for _ in range(500)]
    index = kayak.documents([f"d{i}" for i in range(500)], matrices).pack()
    plan = kayak_centroids.centroid_search_plan(10, 50, n_probe=8)
    overlap = 0
    for number in range(20):
        query = kayak.query(matrices[number][:8])
        mojo = kayak.search_with_plan(query, index, plan, backend=kayak.MOJO_EXACT_CPU_BACKEND)
        numpy = kayak.search_with_plan(query, index, plan)
        profile = mojo.candidate_stage.profile
        assert profile.executor == kayak.MOJO_EXACT_CPU_BACKEND
        assert "built by mojo_exact_cpu" in (profile.preparation or "")
        assert "built by numpy" in (numpy.candidate_stage.profile.preparation or "")
        overlap += len({hit.doc_id for hit in mojo.hits} & {hit.doc_id for hit in numpy.hits})
        again = kayak.search_with_plan(query, index, plan, backend=kayak.MOJO_EXACT_CPU_BACKEND)
        assert again.hits == mojo.hits
    assert overlap >= 190
