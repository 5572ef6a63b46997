"""The NumPy kernels against float64 oracles: values, ties, memory, and every form that vectors come in."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kayak.builtin.numpy_maxsim import blas_is_position_invariant, document_proxies, maxsim_block
from kayak.values.ranking import top_positions
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

WORKING_MEMORY = 64 << 20


def offsets_of(counts: list[int] | Ints, first: int = 0) -> Ints:
    return np.concatenate([[first], first + np.cumsum(counts)]).astype(np.int64)


def random_vectors(rng: np.random.Generator, count: int, dim: int) -> Floats:
    return rng.standard_normal((count, dim), np.float32)


def oracle(query: Floats, query_offsets: Ints, vectors: NDArray[np.floating], offsets: Ints) -> NDArray[np.float64]:
    q, v = query.astype(np.float64), vectors.astype(np.float64)
    scores = np.empty((len(query_offsets) - 1, len(offsets) - 1))
    for j, (a, b) in enumerate(pairwise(offsets)):
        best = (q @ v[a:b].T).max(axis=1)
        for i, (c, d) in enumerate(pairwise(query_offsets)):
            scores[i, j] = best[c:d].sum()
    return scores


def assert_matches_oracle(
    scores: Floats,
    query: Floats,
    query_offsets: Ints,
    vectors: NDArray[np.floating],
    offsets: Ints,
    positions: Ints,
) -> None:
    """Within 1e-5 of the scale Σ‖q_i‖ · max‖d_j‖ that bounds a score."""
    assert scores.dtype == np.float32
    expected = oracle(query, query_offsets, vectors, offsets)[:, positions]
    lengths = np.linalg.norm(query.astype(np.float64), axis=1)
    longest = np.linalg.norm(vectors.astype(np.float64), axis=1).max()
    scale = np.add.reduceat(lengths, query_offsets[:-1])[:, np.newaxis] * longest
    assert scores.shape == expected.shape
    assert (np.abs(scores - expected) <= 1e-5 * scale).all()


@st.composite
def collections(draw: st.DrawFn) -> tuple[np.random.Generator, Floats, Ints, NDArray[np.floating], Ints]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dim = draw(st.integers(1, 200))
    query_counts = draw(st.lists(st.integers(1, 40) | st.just(300), min_size=1, max_size=12))
    counts = draw(
        st.lists(
            st.integers(1, 30) | st.integers(31, 99) | st.sampled_from([5, 64, 65, 2500]),
            min_size=1,
            max_size=20,
        )
    )
    before, after = draw(st.integers(0, 5)), draw(st.integers(0, 70))
    vectors: NDArray[np.floating] = random_vectors(rng, before + sum(counts) + after, dim)
    # All similarities negative, so that a leaked padding zero would win every maximum.
    sign = draw(st.sampled_from([0, 1]))
    query = random_vectors(rng, sum(query_counts), dim)
    if sign:
        vectors, query = -np.abs(vectors), np.abs(query)
    if draw(st.booleans()):
        vectors = vectors.astype(np.float16)
    return rng, query, offsets_of(query_counts), vectors, offsets_of(counts, before)


@settings(max_examples=25, deadline=None)
@given(collections(), st.booleans())
def test_scores_match_the_oracle_for_ragged_shapes(
    collection: tuple[np.random.Generator, Floats, Ints, NDArray[np.floating], Ints], choose: bool
) -> None:
    rng, query, query_offsets, vectors, offsets = collection
    count = len(offsets) - 1
    positions = rng.integers(0, count, rng.integers(0, 2 * count)) if choose else np.arange(count)
    scores = maxsim_block(query, query_offsets, vectors, offsets, positions if choose else None)
    assert_matches_oracle(scores, query, query_offsets, vectors, offsets, positions)
    again = maxsim_block(query, query_offsets, vectors, offsets, positions if choose else None)
    assert again.tobytes() == scores.tobytes()


@settings(max_examples=25, deadline=None)
@given(collections(), st.integers(2, 6))
def test_equal_documents_get_equal_scores_wherever_they_stand(
    collection: tuple[np.random.Generator, Floats, Ints, NDArray[np.floating], Ints], copies: int
) -> None:
    rng, query, query_offsets, vectors, offsets = collection
    originals = len(offsets) - 1
    order = rng.permutation(np.repeat(np.arange(originals), copies))
    parts = [vectors[offsets[number] : offsets[number + 1]] for number in order]
    scores = maxsim_block(query, query_offsets, np.concatenate(parts), offsets_of([len(part) for part in parts]))
    for number in range(originals):
        same = scores[:, order == number]
        assert (same == same[:, :1]).all()


@pytest.mark.skipif(
    not all(blas_is_position_invariant(dim) for dim in (1, 16, 96, 128, 200)),
    reason="needs a BLAS whose rounding does not depend on position; this one's does",
)
@settings(max_examples=25, deadline=None)
@given(collections())
def test_scores_do_not_depend_on_order_batch_or_cut(
    collection: tuple[np.random.Generator, Floats, Ints, NDArray[np.floating], Ints],
) -> None:
    rng, query, query_offsets, vectors, offsets = collection
    count = len(offsets) - 1
    scores = maxsim_block(query, query_offsets, vectors, offsets)
    positions = rng.permutation(count)
    permuted = maxsim_block(query, query_offsets, vectors, offsets, positions)
    assert permuted.tobytes() == scores[:, positions].tobytes()
    cut = int(rng.integers(0, count + 1))
    halves = [maxsim_block(query, query_offsets, vectors, part) for part in (offsets[: cut + 1], offsets[cut:])]
    assert np.concatenate(halves, axis=1).tobytes() == scores.tobytes()
    for number in range(len(query_offsets) - 1):
        alone = query[query_offsets[number] : query_offsets[number + 1]]
        single = maxsim_block(alone, np.array([0, len(alone)]), vectors, offsets)
        assert single.tobytes() == scores[number : number + 1].tobytes()


LEVELLING = """
import sys
import numpy as np
from kayak.builtin.numpy_maxsim import blas_is_position_invariant, maxsim_block
if blas_is_position_invariant(128):
    sys.exit(3)
rng = np.random.default_rng(5)
counts = rng.integers(1, 90, 60)
counts[0] = 2600
originals = [rng.standard_normal((count, 128), np.float32).astype(sys.argv[1]) for count in counts]
# The same except for one component in the middle or at the end of some row: never to be levelled.
for number, (row, component) in enumerate([(0, 127), (-1, 127), (1, 60)]):
    twin = originals[0].copy()
    twin[row, component] += 50
    originals.append(twin)
order = rng.permutation(np.repeat(np.arange(len(originals)), 4))
vectors = np.concatenate([originals[number] for number in order])
offsets = np.concatenate([[0], np.cumsum([len(originals[number]) for number in order])])
query = rng.standard_normal((70, 128), np.float32)
query_offsets = np.array([0, 1, 33, 70])
def reference(number):
    best = (query.astype(np.float64) @ originals[number].astype(np.float64).T).max(axis=1)
    return np.add.reduceat(best, query_offsets[:-1])
expected = np.stack([reference(number) for number in range(len(originals))], axis=1)
for positions in (None, rng.permutation(len(order))[:200]):
    shown = order if positions is None else order[positions]
    scores = maxsim_block(query, query_offsets, vectors, offsets, positions)
    assert np.abs(scores - expected[:, shown]).max() < 1e-2
    for number in range(len(originals)):
        same = scores[:, shown == number]
        assert (same == same[:, :1]).all(), number
assert not (expected[:, 60:] == expected[:, :1]).all(axis=0).any()
single = maxsim_block(query, query_offsets, vectors, offsets, np.array([7, 7, 7]))
assert (single == single[:, :1]).all()
"""


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("kernel", ["Haswell", "Zen"])
def test_equal_documents_are_levelled_where_the_blas_rounds_by_position(kernel: str, dtype: str) -> None:
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", LEVELLING, dtype], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == 3:
        pytest.skip(f"this NumPy's BLAS has no {kernel} kernel to select, or its rounding ignores position")
    assert done.returncode == 0, done.stderr


def test_levelling_tells_apart_documents_whose_samples_agree() -> None:
    from kayak.builtin._equal_documents import level_equal_documents

    rng = np.random.default_rng(3)
    first = random_vectors(rng, 9, 100)
    second = first.copy()
    second[5, 99] += 1  # a row and a component that the samples leave out
    documents = [second, first, second, first, random_vectors(rng, 9, 100), first[:8]]
    scores = np.arange(12, dtype=np.float32).reshape(2, 6)
    level_equal_documents(scores, np.concatenate(documents), offsets_of([len(d) for d in documents]), None)
    assert scores.tolist() == [[0, 1, 0, 1, 4, 5], [6, 7, 6, 7, 10, 11]]


def test_levelling_of_nothing_changes_nothing() -> None:
    from kayak.builtin._equal_documents import level_equal_documents

    scores = np.empty((2, 0), np.float32)
    level_equal_documents(scores, np.ones((3, 4), np.float32), np.array([0, 3]), np.empty(0, np.int64))
    assert scores.shape == (2, 0)


def peak_of(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def million() -> Floats:
    """A million vectors of 128 components; one row of random values repeated with a stride is enough here."""
    return np.resize(np.random.default_rng(0).standard_normal(1_000_003, np.float32), (1_000_000, 128))


@pytest.mark.parametrize("query_tokens", [32, 1024])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_working_memory_is_bounded_for_many_documents(million: Floats, query_tokens: int, dtype: str) -> None:
    tokens = 1_000_000 if query_tokens == 32 else 100_000
    scales = None
    if dtype == "int8":  # codes between their scales, as a store maps them
        rows = np.zeros((tokens, 132), np.uint8)
        vectors, scales = rows[:, 4:].view(np.int8), rows[:, :4].view(np.float32)[:, 0]
    else:
        vectors = million[:tokens].astype(dtype, copy=False)
    offsets = offsets_of([32_000] + [100] * ((tokens - 32_000) // 100))
    query = million[:query_tokens].copy()
    query_offsets = np.arange(0, query_tokens + 1, 32)
    output = 4 * (len(query_offsets) - 1) * (len(offsets) - 1)
    positions = np.arange(len(offsets) - 1)[::-1].copy()
    for chosen in (None, positions):
        peak = peak_of(partial(maxsim_block, query, query_offsets, vectors, offsets, chosen, scales))
        assert peak - output < WORKING_MEMORY


def test_working_memory_is_bounded_for_long_vectors_queries_and_many_short_documents(million: Floats) -> None:
    vectors = million.reshape(-1)[: 40_000 * 768].reshape(-1, 768)
    query = np.resize(million, (1024, 768))
    for counts in ([40_000], [1] * 40_000):
        offsets = offsets_of(counts)
        for query_offsets in (np.arange(0, 1025, 32), np.array([0, 1024])):
            output = 4 * (len(query_offsets) - 1) * len(counts)
            peak = peak_of(partial(maxsim_block, query, query_offsets, vectors, offsets))
            assert peak - output < WORKING_MEMORY
        peak = peak_of(partial(document_proxies, vectors, offsets, 0))
        assert peak - 4 * 768 * len(counts) < WORKING_MEMORY


def test_working_memory_is_bounded_for_very_long_vectors(million: Floats) -> None:
    vectors = million.reshape(-1)[: 2100 * 16_384].reshape(-1, 16_384)
    query, query_offsets, offsets = vectors[:8].copy(), np.array([0, 8]), offsets_of([100] * 21)
    positions = np.arange(21)[::-1].copy()
    assert peak_of(partial(maxsim_block, query, query_offsets, vectors, offsets, positions)) < WORKING_MEMORY
    assert peak_of(partial(document_proxies, vectors, offsets, 0)) - 4 * 16_384 * 21 < WORKING_MEMORY


def test_read_only_memory_map(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    vectors = random_vectors(rng, 5000, 40)
    path = tmp_path / "vectors.bin"
    path.write_bytes(b"abc" + vectors.tobytes())
    for skipped in (0, 3):  # 3: not a multiple of 4, so every value is unaligned
        if not skipped:
            path_aligned = tmp_path / "aligned.bin"
            path_aligned.write_bytes(vectors.tobytes())
        mapped = np.memmap(path if skipped else path_aligned, np.float32, "r", skipped, (5000, 40))
        assert mapped.flags.aligned == (skipped == 0)
        offsets = offsets_of([10] * 400 + [1000])
        query, query_offsets = random_vectors(rng, 12, 40), np.array([0, 5, 12])
        expected = maxsim_block(query, query_offsets, vectors, offsets)
        assert (maxsim_block(query, query_offsets, mapped, offsets) == expected).all()
        positions = rng.permutation(401)
        peak = peak_of(partial(maxsim_block, query, query_offsets, mapped, offsets, positions))
        assert peak < 3 * vectors.nbytes
        scores = maxsim_block(query, query_offsets, mapped, offsets, positions)
        assert_matches_oracle(scores, query, query_offsets, vectors, offsets, positions)
        assert (
            document_proxies(mapped, offsets, 3, positions) == document_proxies(vectors, offsets, 3, positions)
        ).all()


def test_overflow_and_denormals_follow_arithmetic_without_warnings() -> None:
    huge = np.full((3, 8), 3e38, np.float32)
    assert np.isposinf(maxsim_block(huge, np.array([0, 3]), huge.copy(), np.array([0, 3]))).all()
    mixed = huge.copy()
    mixed[:, ::2] *= -1
    assert not np.isfinite(maxsim_block(mixed, np.array([0, 3]), huge, np.array([0, 3]))).any()
    just_fits = np.array([[3e38]], np.float32)
    one = np.ones((2, 1), np.float32)
    assert np.isposinf(maxsim_block(one * just_fits, np.array([0, 2]), one, np.array([0, 2]))).all()
    tiny = np.full((1, 4), 1e-40, np.float32)
    scores = maxsim_block(np.ones((1, 4), np.float32), np.array([0, 1]), tiny, np.array([0, 1]))
    assert scores[0, 0] == pytest.approx(4e-40, rel=1e-4)


def test_every_finite_float16_is_scored_exactly() -> None:
    half = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    half = half[np.isfinite(half)].reshape(-1, 1)
    scores = maxsim_block(np.ones((1, 1), np.float32), np.array([0, 1]), half, np.arange(len(half) + 1))
    assert (scores[0] == half[:, 0].astype(np.float32)).all()


def test_selecting_no_documents_gives_no_columns() -> None:
    vectors = np.ones((4, 3), np.float32)
    none = np.empty(0, np.int64)
    assert maxsim_block(vectors.copy(), np.array([0, 1, 4]), vectors, np.array([0, 4]), none).shape == (2, 0)
    assert document_proxies(vectors, np.array([0, 4]), 0, none).shape == (0, 3)


def test_selections_beyond_one_stream_keep_their_places() -> None:
    count = 300_000
    vectors = np.arange(count, dtype=np.float32).reshape(-1, 1)
    offsets, query = np.arange(count + 1), np.ones((1, 1), np.float32)
    assert (maxsim_block(query, np.array([0, 1]), vectors, offsets)[0] == np.arange(count)).all()
    backwards = np.arange(count)[::-1].copy()
    assert (maxsim_block(query, np.array([0, 1]), vectors, offsets, backwards)[0] == backwards).all()
    assert (document_proxies(vectors, offsets, 2, backwards)[:, 0] == backwards).all()


@settings(max_examples=25, deadline=None)
@given(collections(), st.sampled_from([0, 1, 3, 65, 10_000]), st.booleans())
def test_proxies_are_the_mean_of_the_first_vectors(
    collection: tuple[np.random.Generator, Floats, Ints, NDArray[np.floating], Ints],
    budget: int,
    choose: bool,
) -> None:
    rng, _, _, vectors, offsets = collection
    count = len(offsets) - 1
    positions = rng.integers(0, count, 2 * count) if choose else np.arange(count)
    proxies = document_proxies(vectors, offsets, budget, positions if choose else None)
    assert proxies.dtype == np.float32
    assert proxies.shape == (len(positions), vectors.shape[1])
    for proxy, number in zip(proxies, positions, strict=True):
        first = vectors[offsets[number] : offsets[number + 1]][: budget or None].astype(np.float64)
        np.testing.assert_allclose(proxy, first.mean(axis=0), rtol=1e-6, atol=1e-12)


def test_proxies_of_vectors_that_almost_cancel_are_exact() -> None:
    vectors = np.ones((20_000, 2), np.float32)
    vectors[::2] = -1
    vectors[0] = [1e7, -1e7]
    vectors[-1] = [-1e7 + 1, 1e7 - 1]
    proxies = document_proxies(vectors, np.array([0, 20_000]), 0)
    np.testing.assert_allclose(proxies[0], vectors.astype(np.float64).mean(axis=0), rtol=1e-6)


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5) | st.floats(width=32, allow_nan=False)), st.integers(0, 60))
def test_top_k_is_a_stable_descending_sort(values: list[float], k: int) -> None:
    array = np.array(values, np.float32)
    best = top_positions(array, k)
    assert best.dtype == np.int64
    assert best.tolist() == sorted(range(len(values)), key=lambda i: (-array[i], i))[:k]


@pytest.mark.parametrize("distinct", [1, 7, 1_000_000])
@pytest.mark.parametrize("count", [65_536, 70_001])
def test_the_best_of_many_values_are_those_of_a_sort(count, distinct):
    values = np.random.default_rng(count + distinct).integers(0, distinct, count).astype(np.float32)
    order = np.argsort(-values, kind="stable")
    for k in (0, 1, 9, 500, count // 64, count // 64 + 1, count):
        assert np.array_equal(top_positions(values, k), order[:k])
