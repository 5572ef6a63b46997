"""Arithmetic over centroids at every CPU level that this machine runs, against float64 and plain loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kayak
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kayak_mojo import centroids as centroids_module
from kayak_mojo import cpu
from kayak_mojo.centroids import MojoCentroidKernels
from kayak_mojo.executor import MojoExactCpuExecutor
from kayak_mojo.library import Kernels, load_kernels
from kayak_mojo.selection import PREBUILT, Selection

Array = npt.NDArray[Any]
LEVELS = cpu.levels()


@pytest.fixture(scope="module", params=LEVELS)
def library(request: pytest.FixtureRequest) -> Kernels:
    return load_kernels(PREBUILT / "manifest.json", request.param)


def random(seed: int, count: int, dim: int) -> Array:
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


def similarities(vectors: Array, centroids: Array) -> tuple[Array, Array]:
    """Dot products in float64, and how far float32 may be from them."""
    wide, others = vectors.astype(np.float64), centroids.astype(np.float64)
    return wide @ others.T, 1e-5 * (np.abs(wide) @ np.abs(others).T)


@settings(max_examples=40)
@given(
    st.integers(0, 2**31),
    st.sampled_from([1, 2, 15, 16, 31, 32, 33, 64, 100, 257]),
    st.sampled_from([1, 2, 11, 12, 13, 25, 240, 241, 500]),
    st.sampled_from([1, 3, 64, 96, 100, 128, 384]),
    st.sampled_from([np.float32, np.float16]),
)
def test_the_most_similar_centroid_is_found(
    library: Kernels, seed: int, count: int, rows: int, dim: int, dtype: type
) -> None:
    centroids, vectors = random(seed, count, dim), random(seed + 1, rows, dim).astype(dtype)
    codes, found = MojoCentroidKernels(library, centroids).assign(vectors)
    exact, tolerance = similarities(vectors, centroids)
    assert codes.dtype == np.int32
    assert ((codes >= 0) & (codes < count)).all()
    every = np.arange(rows)
    assert (np.abs(found - exact[every, codes]) <= tolerance[every, codes]).all()
    assert (exact[every, codes] >= exact.max(axis=1) - 2 * tolerance.max(axis=1)).all()


def test_padding_never_wins_where_all_similarities_are_negative(library: Kernels) -> None:
    centroids = -np.abs(random(1, 33, 64)) - 1.0
    centroids[0] -= 100.0  # the last panel is filled up with it
    vectors = np.abs(random(2, 50, 64))
    kernels = MojoCentroidKernels(library, centroids)
    codes, found = kernels.assign(vectors)
    assert (codes == (vectors.astype(np.float64) @ centroids.T.astype(np.float64)).argmax(axis=1)).all()
    assert (found < 0.0).all()
    centroids[0] += 101.0
    assert (MojoCentroidKernels(library, centroids).assign(vectors)[0] < 33).all()


def test_equal_centroids_rank_by_number(library: Kernels) -> None:
    centroids = np.repeat(random(3, 40, 32), 3, axis=0)
    vectors = random(4, 100, 32)
    kernels = MojoCentroidKernels(library, centroids)
    codes, _ = kernels.assign(vectors)
    assert (codes % 3 == 0).all()
    probed, _ = kernels.probe(vectors, 120)
    assert (probed.reshape(100, 40, 3) == probed[:, ::3, np.newaxis] + np.arange(3)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("dim", [100, 128])
def test_a_vector_is_assigned_alike_wherever_it_lies(library: Kernels, dim: int, dtype: type) -> None:
    kernels = MojoCentroidKernels(library, random(5, 200, dim))
    vectors = random(6, 300, dim).astype(dtype)
    codes, found = kernels.assign(vectors)
    for number in (0, 5, 11, 12, 239, 240, 299):
        alone = kernels.assign(vectors[number : number + 1])
        assert (alone[0][0], alone[1][0]) == (codes[number], found[number])


def test_vectors_longer_than_the_scratch(library: Kernels) -> None:
    centroids, vectors = random(7, 5, 33_000), random(8, 3, 33_000).astype(np.float16)
    codes, found = MojoCentroidKernels(library, centroids).assign(vectors)
    exact, tolerance = similarities(vectors, centroids)
    assert (codes == exact.argmax(axis=1)).all()
    assert (np.abs(found - exact.max(axis=1)) <= tolerance.max(axis=1)).all()


@settings(max_examples=30)
@given(
    st.integers(0, 2**31),
    st.sampled_from([1, 2, 31, 33, 100, 500]),
    st.integers(1, 40),
    st.sampled_from([3, 96, 100, 128]),
    st.integers(1, 40),
)
def test_probing_ranks_centroids(library: Kernels, seed: int, count: int, rows: int, dim: int, probes: int) -> None:
    probes = min(probes, count)
    centroids, vectors = random(seed, count, dim), random(seed + 1, rows, dim)
    kernels = MojoCentroidKernels(library, centroids)
    probed, found = kernels.probe(vectors, probes)
    exact, tolerance = similarities(vectors, centroids)
    chosen = np.take_along_axis(exact, probed, axis=1)
    assert all(len(set(row)) == probes for row in probed.tolist())
    assert (np.abs(found - chosen) <= np.take_along_axis(tolerance, probed, axis=1)).all()
    assert (np.diff(found, axis=1) <= 0.0).all()
    best = -np.sort(-exact, axis=1)[:, :probes]
    assert (np.abs(chosen - best) <= 2 * tolerance.max(axis=1, keepdims=True)).all()
    codes, nearest = kernels.assign(vectors)
    np.testing.assert_array_equal(probed[:, 0], codes)
    np.testing.assert_array_equal(found[:, 0], nearest)


def lists(seed: int, centroid_count: int, documents: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(rng.random(documents) < rng.random() * 0.6) for _ in range(centroid_count)]
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in members])])
    return offsets.astype(np.int64), np.concatenate(members).astype(np.int32)


def added(probed: Array, gains: Array, bounds: list[int], offsets: Array, postings: Array, count: int) -> Array:
    scores = np.zeros((len(bounds) - 1, count), dtype=np.float32)
    for query in range(len(bounds) - 1):
        for token in range(bounds[query], bounds[query + 1]):
            seen: set[int] = set()
            for centroid, gain in zip(probed[token].tolist(), gains[token], strict=True):
                for document in postings[offsets[centroid] : offsets[centroid + 1]].tolist():
                    if document not in seen:
                        seen.add(document)
                        scores[query, document] += gain
    return scores


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 60), st.integers(1, 8), st.integers(1, 5))
def test_lists_are_added_up_in_order(
    library: Kernels, seed: int, centroid_count: int, documents: int, probes: int, queries: int
) -> None:
    rng = np.random.default_rng(seed)
    offsets, postings = lists(seed, centroid_count, documents)
    bounds = np.concatenate([[0], np.cumsum(rng.integers(1, 6, queries))])
    probes = min(probes, centroid_count)
    probed = np.array([rng.permutation(centroid_count)[:probes] for _ in range(bounds[-1])], dtype=np.int32)
    gains = -np.sort(-rng.random(probed.shape), axis=1).astype(np.float32)
    kernels = MojoCentroidKernels(library, random(seed, centroid_count, 8))
    found = kernels.accumulate(probed, gains, bounds, offsets, postings, documents)
    expected = added(probed, gains, bounds.tolist(), offsets, postings, documents)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("queries", [1, 3])
def test_threads_change_nothing(library: Kernels, queries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = MojoCentroidKernels(library, random(1, 300, 128))
    vectors, asked = random(2, 5000, 128), random(3, 9 * queries, 128)
    offsets, postings = lists(4, 300, 1000)
    bounds = np.arange(0, 9 * queries + 1, 9)

    def results() -> list[Array]:
        probed, found = kernels.probe(asked, 8)
        scores = kernels.accumulate(probed, found, bounds, offsets, postings, 1000)
        return [*kernels.assign(vectors), probed, found, scores]

    monkeypatch.setenv("KAYAK_NUM_THREADS", "1")
    alone = results()
    monkeypatch.setenv("KAYAK_NUM_THREADS", "3")
    monkeypatch.setattr(centroids_module, "SHARED_WORK", 1)
    monkeypatch.setattr(centroids_module, "SHARED_POSTINGS", 1)
    for ours, theirs in zip(results(), alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def fitting() -> dict[str, Any]:
    offsets, postings = lists(9, 6, 20)
    return {
        "probed": np.array([[0, 1], [5, 2]], dtype=np.int32),
        "gains": np.ones((2, 2), dtype=np.float32),
        "query_offsets": np.array([0, 2]),
        "list_offsets": offsets,
        "postings": postings,
        "document_count": 20,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(probed=a["probed"].astype(np.int64)), "probed must be int32"),
        (lambda a: a.update(gains=a["gains"][:, :1]), "of one shape"),
        (lambda a: a.update(probed=a["probed"] + 5), "from 0 to 5"),
        (lambda a: a.update(probed=a["probed"] - 1), "from 0 to 5"),
        (lambda a: a.update(postings=a["postings"].astype(np.int64)), "contiguous int32"),
        (lambda a: a.update(postings=a["postings"][:-1].copy()), "within the"),
        (lambda a: a.update(list_offsets=a["list_offsets"][:-1], probed=a["probed"] // 2), "one entry a centroid"),
        (lambda a: a.update(list_offsets=a["list_offsets"][[0, 2, 1, 3, 4, 5, 6]]), "must ascend"),
        (lambda a: a.update(document_count=3), "number documents from 0 to 2"),
        (lambda a: a.update(query_offsets=np.array([0, 3])), "within the 2 query vectors"),
        (lambda a: a.update(query_offsets=np.array([2, 0])), "within the 2 query vectors"),
    ],
)
def test_lists_that_do_not_fit_are_refused(change: Callable[[dict[str, Any]], None], message: str) -> None:
    library = load_kernels(PREBUILT / "manifest.json", LEVELS[0])
    kernels = MojoCentroidKernels(library, random(1, 6, 8))
    arguments = fitting()
    kernels.accumulate(**arguments)
    kernels.accumulate(**arguments)
    change(arguments)
    with pytest.raises(kayak.InvalidInputError, match=message):
        kernels.accumulate(**arguments)


def test_vectors_that_do_not_fit_are_refused() -> None:
    executor = MojoExactCpuExecutor()
    assert isinstance(executor, kayak.CentroidExecutor)
    kernels = executor.centroid_kernels(random(1, 6, 8))
    with pytest.raises(kayak.InvalidInputError, match="dimension 8"):
        kernels.assign(random(1, 2, 9))
    with pytest.raises(kayak.InvalidInputError, match="float32 or float16"):
        kernels.assign(random(1, 2, 8).astype(np.float64))
    with pytest.raises(kayak.InvalidInputError, match="float32 vectors"):
        kernels.probe(random(1, 2, 8).astype(np.float16), 2)
    for count in (0, 7):
        with pytest.raises(kayak.InvalidInputError, match="from 1 to the 6 centroids"):
            kernels.probe(random(1, 2, 8), count)
    for wrong in (random(1, 6, 8)[:0], random(1, 6, 8).astype(np.float64), random(1, 6, 8)[0]):
        with pytest.raises(kayak.InvalidInputError, match="centroids must be float32"):
            executor.centroid_kernels(wrong)
    executor = MojoExactCpuExecutor()
    executor.selection = Selection(None, "for the test")
    with pytest.raises(kayak.BackendUnavailableError, match="for the test"):
        executor.centroid_kernels(random(1, 6, 8))


def test_nothing_to_do() -> None:
    kernels = MojoExactCpuExecutor().centroid_kernels(random(1, 6, 8))
    assert [each.shape for each in kernels.assign(random(1, 0, 8))] == [(0,), (0,)]
    assert [each.shape for each in kernels.probe(random(1, 0, 8), 2)] == [(0, 2), (0, 2)]
