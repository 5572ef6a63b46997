"""The compiled kernels, through their C interface, at every CPU level this machine can run."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

KERNELS = Path(__file__).resolve().parents[1] / "kernels"
X86_FLAGS = {
    "x86-64-v2": {"sse4_2", "ssse3", "popcnt", "cx16"},
    "x86-64-v3": {"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe"},
    "x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}
# What the linker adds to every shared library, and the C library's own functions.
ALLOWED_UNDEFINED = {
    "_ITM_deregisterTMCloneTable",
    "_ITM_registerTMCloneTable",
    "__cxa_finalize",
    "__gmon_start__",
    "memcpy",
    "memset",
}

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]
Integers = npt.NDArray[np.int64]


def find_compiler() -> str:
    beside = Path(sys.executable).parent / "mojo"
    found = str(beside) if beside.is_file() else shutil.which("mojo")
    if found is None:
        pytest.skip("no mojo compiler beside sys.executable or on PATH")
    return found


def find_tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on PATH")
    return found


def compile_kernels(target: Path, *options: str) -> None:
    command = [find_compiler(), "build", str(KERNELS / "kayak_kernels.mojo"), *options, "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Kernels:
    """The functions of one compiled library, called with NumPy arrays."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.library = ctypes.CDLL(str(path))
        address, integer = ctypes.c_void_p, ctypes.c_ssize_t
        maxsim = [address, integer, address, integer, address, address, address, *[integer] * 3, address, address]
        means = [address, address, address, *[integer] * 4, address]
        signatures = {
            "kayak_abi_version": [],
            "kayak_panel_width": [],
            "kayak_maxsim_f32": [*maxsim, integer],
            "kayak_maxsim_f16": [*maxsim, integer],
            "kayak_maxsim_i8": [*maxsim[:5], integer, address, integer, *maxsim[5:], integer],
            "kayak_proxy_means_f32": means,
            "kayak_proxy_means_f16": means,
            "kayak_dot_rows": [address, integer, integer, integer, address, address],
            "kayak_top_k": [address, integer, integer, address],
        }
        returning = {"kayak_abi_version", "kayak_panel_width", "kayak_top_k"}
        for name, arguments in signatures.items():
            function = getattr(self.library, name)
            function.argtypes = arguments
            function.restype = integer if name in returning else None
        self.panel_width = int(self.library.kayak_panel_width())

    def pack(self, queries: Sequence[Floats]) -> tuple[Floats, Integers]:
        """The panels [panel_count][dim][panel_width] and token offsets of a ragged batch."""
        tokens = np.concatenate(queries)
        count = -(-len(tokens) // self.panel_width)
        padded = np.zeros((count * self.panel_width, tokens.shape[1]), np.float32)
        padded[: len(tokens)] = tokens
        panels = padded.reshape(count, self.panel_width, -1).transpose(0, 2, 1)
        offsets = np.cumsum([0, *(len(query) for query in queries)], dtype=np.int64)
        return np.ascontiguousarray(panels), offsets

    def maxsim(
        self,
        queries: Sequence[Floats],
        vectors: Floats | Halves,
        offsets: Integers,
        positions: Integers | None = None,
        lo: int = 0,
        hi: int | None = None,
        vectors_address: int | None = None,
    ) -> Floats:
        """Scores [queries][documents]; NaN where nothing was written."""
        panels, query_offsets = self.pack(queries)
        rows = len(positions) if positions is not None else len(offsets) - 1
        scores = np.full((len(queries), rows), np.nan, np.float32)
        maxima = np.full(panels.shape[0] * self.panel_width, np.nan, np.float32)
        half = vectors.dtype == np.float16
        function = self.library.kayak_maxsim_f16 if half else self.library.kayak_maxsim_f32
        function(
            panels.ctypes.data,
            panels.shape[0],
            query_offsets.ctypes.data,
            len(queries),
            vectors.ctypes.data if vectors_address is None else vectors_address,
            offsets.ctypes.data,
            None if positions is None else positions.ctypes.data,
            lo,
            rows if hi is None else hi,
            vectors.shape[1],
            maxima.ctypes.data,
            scores.ctypes.data,
            rows,
        )
        return scores

    def maxsim_codes(
        self,
        queries: Sequence[Floats],
        codes: npt.NDArray[np.int8],
        scales: Floats,
        offsets: Integers,
        positions: Integers | None = None,
    ) -> Floats:
        """Scores [queries][documents] of int8 codes whose rows, and scales, may lie apart."""
        panels, query_offsets = self.pack(queries)
        rows = len(positions) if positions is not None else len(offsets) - 1
        scores = np.full((len(queries), rows), np.nan, np.float32)
        maxima = np.full(panels.shape[0] * self.panel_width, np.nan, np.float32)
        self.library.kayak_maxsim_i8(
            panels.ctypes.data,
            panels.shape[0],
            query_offsets.ctypes.data,
            len(queries),
            codes.ctypes.data,
            codes.strides[0],
            scales.ctypes.data,
            scales.strides[0],
            offsets.ctypes.data,
            None if positions is None else positions.ctypes.data,
            0,
            rows,
            codes.shape[1],
            maxima.ctypes.data,
            scores.ctypes.data,
            rows,
        )
        return scores

    def proxy_means(
        self,
        vectors: Floats | Halves,
        offsets: Integers,
        budget: int = 0,
        positions: Integers | None = None,
        lo: int = 0,
        hi: int | None = None,
    ) -> Floats:
        rows = len(positions) if positions is not None else len(offsets) - 1
        means = np.full((rows, vectors.shape[1]), np.nan, np.float32)
        half = vectors.dtype == np.float16
        function = self.library.kayak_proxy_means_f16 if half else self.library.kayak_proxy_means_f32
        function(
            vectors.ctypes.data,
            offsets.ctypes.data,
            None if positions is None else positions.ctypes.data,
            lo,
            rows if hi is None else hi,
            vectors.shape[1],
            budget,
            means.ctypes.data,
        )
        return means

    def dot_rows(self, matrix: Floats, vector: Floats, lo: int = 0, hi: int | None = None) -> Floats:
        products = np.full(len(matrix), np.nan, np.float32)
        self.library.kayak_dot_rows(
            matrix.ctypes.data,
            lo,
            len(matrix) if hi is None else hi,
            matrix.shape[1],
            vector.ctypes.data,
            products.ctypes.data,
        )
        return products

    def top_k(self, values: Floats, k: int) -> Integers:
        positions: Integers = np.full(max(min(k, len(values)), 0) + 1, -7, np.int64)
        count = self.library.kayak_top_k(values.ctypes.data, len(values), k, positions.ctypes.data)
        assert positions[count] == -7, "wrote past the positions that it returned"
        return positions[:count]


@pytest.fixture(scope="module", params=sorted(X86_FLAGS))
def kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    """The kernels compiled for one CPU level that this machine has."""
    level: str = request.param
    flags = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not flags.is_file():
        pytest.skip(f"needs an x86-64 Linux machine to run {level}")
    missing = X86_FLAGS[level] - set(flags.read_text().split())
    if missing:
        pytest.skip(f"this CPU does not run {level}: no {', '.join(sorted(missing))}")
    path = tmp_path_factory.mktemp(level) / "libkayak.so"
    compile_kernels(path, "--emit", "shared-lib", "--target-cpu", level)
    return Kernels(path)


def unit_rows(rng: np.random.Generator, count: int, dim: int) -> Floats:
    rows = rng.standard_normal((count, dim))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


def oracle(queries: Sequence[Floats], vectors: npt.NDArray[np.floating], offsets: Integers) -> npt.NDArray[np.float64]:
    """MaxSim [queries][documents] in float64."""
    wide = vectors.astype(np.float64)
    return np.array(
        [
            [
                (query.astype(np.float64) @ wide[start:end].T).max(axis=1).sum()
                for start, end in itertools.pairwise(offsets)
            ]
            for query in queries
        ]
    )


def ragged(rng: np.random.Generator, lengths: Sequence[int], dim: int) -> tuple[Floats, Integers]:
    offsets = np.cumsum([0, *lengths], dtype=np.int64)
    return unit_rows(rng, int(offsets[-1]), dim), offsets


def check(kernels: Kernels, queries: Sequence[Floats], vectors: Floats | Halves, offsets: Integers) -> Floats:
    """Scores within 1e-5 of the oracle, relative to the sum of the norms' products where the score cancels out."""
    scores = kernels.maxsim(queries, vectors, offsets)
    exact = oracle(queries, vectors, offsets)
    longest = np.linalg.norm(vectors.astype(np.float64), axis=1).max()
    scale = np.array([np.linalg.norm(query.astype(np.float64), axis=1).sum() * longest for query in queries])
    assert np.isfinite(scores).all()
    assert (np.abs(scores - exact) <= 1e-5 * np.maximum(np.abs(exact), 0.1 * scale[:, None])).all()
    return scores


# 20,000 and 40,000 exceed what the kernels hold in registers, tiles or, for float16, in scratch memory.
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(
    "dim", [1, 2, 3, 5, 7, 31, 63, 64, 65, 96, 127, 128, 129, 256, 300, 384, 768, 1024, 4095, 4096, 20_000, 40_000]
)
def test_every_dimension_matches_float64(kernels: Kernels, dim: int, dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(dim)
    vectors, offsets = ragged(rng, [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 23, 24, 25, 40], dim)
    queries = [unit_rows(rng, count, dim) for count in (1, 3, kernels.panel_width, 33)]
    check(kernels, queries, vectors.astype(dtype), offsets)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 31, 32, 33, 48, 64, 65, 100, 500])
def test_every_query_length_matches_float64(kernels: Kernels, count: int, dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(count)
    vectors, offsets = ragged(rng, [1, 9, 200, 30], 128)
    check(kernels, [unit_rows(rng, count, 128)], vectors.astype(dtype), offsets)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("dim", [50, 128])
def test_a_long_document_matches_float64(kernels: Kernels, dim: int, dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(5)
    vectors, offsets = ragged(rng, [3, 32_000, 1], dim)
    check(kernels, [unit_rows(rng, 32, dim), unit_rows(rng, 40, dim)], vectors.astype(dtype), offsets)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_document_scores_the_same_bits_wherever_it_stands(kernels: Kernels, dtype: type[np.floating]) -> None:
    """Equal documents tie exactly: in any place, batch, position list, range and alignment."""
    rng = np.random.default_rng(1)
    for dim in (10, 128, 768):
        vectors, offsets = ragged(rng, [1, 5, 13, 64, 77, 300], dim)
        vectors = vectors.astype(dtype)
        query = unit_rows(rng, 32, dim)
        alone = kernels.maxsim([query], vectors, offsets)[0]
        batch = [unit_rows(rng, 5, dim), query, unit_rows(rng, 70, dim), query]
        together = kernels.maxsim(batch, vectors, offsets)
        assert np.array_equal(together[1], alone)
        assert np.array_equal(together[3], alone)
        positions = np.array([5, 0, 3, 3, 1, 5], np.int64)
        assert np.array_equal(kernels.maxsim([query], vectors, offsets, positions)[0], alone[positions])
        part = kernels.maxsim([query], vectors, offsets, positions, lo=2, hi=4)[0]
        assert np.array_equal(part[2:4], alone[positions[2:4]])
        assert np.isnan(part[[0, 1, 4, 5]]).all()
        for shift in (1, 2, 3, 5, 63):
            memory = np.zeros(vectors.nbytes + 64, np.uint8)
            memory[shift : shift + vectors.nbytes] = vectors.reshape(-1).view(np.uint8)
            moved = kernels.maxsim([query], vectors, offsets, vectors_address=memory.ctypes.data + shift)[0]
            assert np.array_equal(moved, alone)


def test_token_order_and_duplicates_change_no_bit(kernels: Kernels) -> None:
    rng = np.random.default_rng(2)
    query = unit_rows(rng, 32, 128)
    for count in (2, 7, 12, 13, 29, 150):
        tokens = unit_rows(rng, count, 128)
        forms = [tokens, tokens[::-1], tokens[rng.permutation(count)], np.concatenate([tokens, tokens[: count // 2]])]
        offsets = np.cumsum([0, *(len(form) for form in forms)], dtype=np.int64)
        scores = kernels.maxsim([query], np.concatenate(forms), offsets)[0]
        assert len(set(scores.tolist())) == 1


def test_similarities_that_are_all_negative(kernels: Kernels) -> None:
    rng = np.random.default_rng(3)
    vectors, offsets = ragged(rng, [1, 4, 12, 30], 128)
    scores = check(kernels, [-np.abs(unit_rows(rng, 32, 128))], np.abs(vectors), offsets)
    assert (scores < 0).all()


@pytest.mark.parametrize(("query_scale", "scale"), [(1e15, 1e15), (1e-15, 1e15), (1e-20, 1e-19), (1.0, 1e36)])
def test_huge_and_tiny_norms(kernels: Kernels, query_scale: float, scale: float) -> None:
    rng = np.random.default_rng(4)
    vectors, offsets = ragged(rng, [1, 4, 12, 30, 100], 128)
    queries = [unit_rows(rng, 32, 128) * np.float32(query_scale)]
    vectors *= np.float32(scale)
    # Products below the smallest normal number keep absolute, not relative, precision.
    exact = oracle(queries, vectors, offsets)
    smallest = 128 * 32 * 2.0**-149
    assert (np.abs(kernels.maxsim(queries, vectors, offsets) - exact) <= 1e-5 * np.abs(exact) + smallest).all()


def test_products_below_every_sentinel(kernels: Kernels) -> None:
    """The maximum starts from the products, not from a constant that a product could fall below."""
    vectors = np.full((13, 64), -1.0, np.float32)
    vectors[:, 0] = np.float32(-3.40282e38)
    query = np.zeros((3, 64), np.float32)
    query[:, 0] = 1
    query[1:, 0] = 0.25
    scores = kernels.maxsim([query[:1], query[1:]], vectors, np.array([0, 1, 13], np.int64))
    assert np.array_equal(scores[0], np.full(2, -3.40282e38, np.float32))
    assert np.allclose(scores[1], -0.5 * 3.40282e38, rtol=1e-6)


def test_every_half_converts_exactly(kernels: Kernels) -> None:
    """All finite halves, subnormal ones too: by vector, and one by one where a row is too short for a vector."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    one = np.ones((1, 1), np.float32)
    offsets = np.arange(len(halves) + 1, dtype=np.int64)
    assert np.array_equal(kernels.maxsim([one], halves[:, None], offsets)[0], halves.astype(np.float32))
    wide = np.repeat(halves, 64).reshape(-1, 64)
    corner = np.eye(64, dtype=np.float32)[[0, 17, 63]]
    expected = 3 * halves.astype(np.float64)
    assert np.array_equal(kernels.maxsim([corner], wide, offsets)[0], expected.astype(np.float32))


def test_half_documents_score_as_their_float32_values(kernels: Kernels) -> None:
    rng = np.random.default_rng(6)
    for dim in (9, 128, 300, 40_000):
        vectors, offsets = ragged(rng, [1, 5, 13, 40], dim)
        halves = vectors.astype(np.float16)
        queries = [unit_rows(rng, 32, dim), unit_rows(rng, 9, dim)]
        same = kernels.maxsim(queries, halves.astype(np.float32), offsets)
        assert np.array_equal(kernels.maxsim(queries, halves, offsets), same)


def interleaved(codes: npt.NDArray[np.int8], scales: Floats, gap: int) -> tuple[npt.NDArray[np.int8], Floats]:
    """Rows of a scale, codes and a gap that belongs to nobody, ending with the last code."""
    row = 4 + codes.shape[1] + gap
    memory = np.full(len(codes) * row, 0x7F, np.uint8)
    rows = memory.reshape(-1, row)
    rows[:, :4] = scales.view(np.uint8).reshape(-1, 4)
    rows[:, 4 : 4 + codes.shape[1]] = codes.view(np.uint8)
    return rows[:, 4 : 4 + codes.shape[1]].view(np.int8), rows[:, :4].view(np.float32)[:, 0]


@pytest.mark.parametrize("dim", [1, 3, 7, 16, 63, 64, 65, 96, 100, 128, 256, 300, 384, 768, 20_000, 40_000])
def test_codes_score_as_the_values_that_they_stand_for(kernels: Kernels, dim: int) -> None:
    """To the bit: int8 codes × scales, contiguous or between their scales, and float32 documents of those values."""
    rng = np.random.default_rng(dim)
    _, offsets = ragged(rng, [1, 2, 3, 5, 11, 12, 13, 24, 25, 61, 130], 1)
    codes = rng.integers(-127, 128, (int(offsets[-1]), dim)).astype(np.int8)
    scales = rng.uniform(0.0001, 3.0, len(codes)).astype(np.float32)
    queries = [unit_rows(rng, count, dim) for count in (1, 9, kernels.panel_width, 33)]
    values = codes.astype(np.float32) * scales[:, None]
    expected = kernels.maxsim(queries, values, offsets)
    check(kernels, queries, values, offsets)
    if dim <= 20_000:
        assert np.array_equal(kernels.maxsim_codes(queries, codes, scales, offsets), expected)
    else:  # too long for the scratch: another order of multiplications
        assert np.allclose(kernels.maxsim_codes(queries, codes, scales, offsets), expected, rtol=1e-4)
    positions = np.array([10, 0, 4, 4, 9], np.int64)
    for gap in (0, 1, 4):
        apart = interleaved(codes, scales, gap)
        whole, some = (kernels.maxsim_codes(queries, *apart, offsets, chosen) for chosen in (None, positions))
        assert np.array_equal(whole, kernels.maxsim_codes(queries, codes, scales, offsets))
        assert np.array_equal(some, whole[:, positions])


def test_codes_that_end_with_their_page(kernels: Kernels, tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    for dim in (20, 128):
        row = 4 + dim
        count = 2 * mmap.PAGESIZE // row
        codes = rng.integers(-127, 128, (count, dim)).astype(np.int8)
        scales = rng.uniform(0.1, 3.0, count).astype(np.float32)
        content = np.concatenate([scales.view(np.uint8).reshape(-1, 4), codes.view(np.uint8)], axis=1)
        path = tmp_path / f"{dim}.bin"
        path.write_bytes(b"\0" * (2 * mmap.PAGESIZE - content.size) + content.tobytes())
        rows = np.memmap(path, dtype=np.uint8, mode="r")[-content.size :].reshape(count, row)
        offsets = np.array([0, 1, count - 1, count], np.int64)
        query = unit_rows(rng, 32, dim)
        mapped = kernels.maxsim_codes([query], rows[:, 4:].view(np.int8), rows[:, :4].view(np.float32)[:, 0], offsets)
        assert np.array_equal(mapped, kernels.maxsim_codes([query], codes, scales, offsets))


def test_empty_ranges_and_position_lists_write_nothing(kernels: Kernels) -> None:
    rng = np.random.default_rng(7)
    vectors, offsets = ragged(rng, [3, 4], 128)
    query = unit_rows(rng, 32, 128)
    assert np.isnan(kernels.maxsim([query], vectors, offsets, lo=1, hi=1)).all()
    assert kernels.maxsim([query], vectors, offsets, np.array([], np.int64)).shape == (1, 0)
    assert np.isnan(kernels.proxy_means(vectors, offsets, lo=2, hi=2)).all()
    assert np.isnan(kernels.dot_rows(vectors, query[0], lo=3, hi=3)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("dim", [20, 128])
def test_a_read_only_map_that_ends_with_its_page(
    kernels: Kernels, tmp_path: Path, dim: int, dtype: type[np.floating]
) -> None:
    """Vectors that end at the end of a mapping: reading one element further would be outside of it."""
    rng = np.random.default_rng(8)
    size = np.dtype(dtype).itemsize
    tokens = 2 * mmap.PAGESIZE // (dim * size)
    vectors = unit_rows(rng, tokens, dim).astype(dtype)
    path = tmp_path / "vectors.bin"
    padding = 2 * mmap.PAGESIZE - vectors.nbytes
    path.write_bytes(b"\0" * padding + vectors.tobytes())
    mapped = np.memmap(path, dtype=np.uint8, mode="r")[padding:].view(dtype).reshape(tokens, dim)
    offsets = np.array([0, 1, tokens - 1, tokens], np.int64)
    query = unit_rows(rng, 32, dim)
    assert np.array_equal(kernels.maxsim([query], mapped, offsets), kernels.maxsim([query], vectors, offsets))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("dim", [1, 7, 64, 77, 128, 768])
def test_proxy_means(kernels: Kernels, dim: int, dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(dim)
    vectors, offsets = ragged(rng, [1, 2, 5, 60], dim)
    vectors = vectors.astype(dtype)
    bounds = list(itertools.pairwise(offsets))
    positions = np.array([3, 0, 3], np.int64)
    for budget in (0, 1, 3, 1000):
        take = budget or len(vectors)
        exact = np.array([vectors[a : min(b, a + take)].astype(np.float64).mean(axis=0) for a, b in bounds])
        means = kernels.proxy_means(vectors, offsets, budget)
        assert np.allclose(means, exact, rtol=1e-6, atol=1e-12)
        assert np.array_equal(kernels.proxy_means(vectors, offsets, budget, positions), means[positions])
        part = kernels.proxy_means(vectors, offsets, budget, lo=1, hi=3)
        assert np.array_equal(part[1:3], means[1:3])
        assert np.isnan(part[[0, 3]]).all()


@pytest.mark.parametrize("dim", [1, 5, 16, 63, 64, 77, 128, 768])
def test_dot_rows(kernels: Kernels, dim: int) -> None:
    rng = np.random.default_rng(dim)
    matrix, vector = unit_rows(rng, 57, dim), unit_rows(rng, 1, dim)[0]
    products = kernels.dot_rows(matrix, vector)
    assert np.allclose(products, matrix.astype(np.float64) @ vector.astype(np.float64), rtol=1e-5, atol=1e-6)
    part = kernels.dot_rows(matrix, vector, lo=20, hi=31)
    assert np.array_equal(part[20:31], products[20:31])
    assert np.isnan(part[:20]).all()
    assert np.isnan(part[31:]).all()


def ranking(values: Floats, k: int) -> Integers:
    return np.argsort(-values, kind="stable")[: max(k, 0)].astype(np.int64)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.standard_normal(n),
        lambda rng, n: rng.integers(0, 4, n),
        lambda rng, n: np.zeros(n),
        lambda rng, n: np.arange(n),
        lambda rng, n: -np.arange(n),
        lambda rng, n: rng.choice([-np.inf, -3e38, -0.0, 0.0, 1e-45, np.inf], n),
    ],
    ids=["normal", "many ties", "all ties", "ascending", "descending", "extremes"],
)
def test_top_k_matches_a_stable_sort(
    kernels: Kernels, draw: Callable[[np.random.Generator, int], npt.NDArray[np.generic]]
) -> None:
    for count in (0, 1, 2, 15, 16, 17, 100, 10_001):
        values = draw(np.random.default_rng(count), count).astype(np.float32)
        for k in (-1, 0, 1, 2, 10, 100, 20_000):
            assert np.array_equal(kernels.top_k(values, k), ranking(values, k)), (count, k)


def test_the_interface_names_its_version_and_panel(kernels: Kernels) -> None:
    assert kernels.library.kayak_abi_version() == 3
    assert kernels.panel_width in (8, 16, 32)


def test_the_library_needs_no_other_library(kernels: Kernels) -> None:
    """No Mojo runtime and no compiler helper functions: the library loads where nothing is installed."""
    dynamic = subprocess.run(
        [find_tool("readelf"), "-d", str(kernels.path)], capture_output=True, text=True, check=True
    )
    needed = [line for line in dynamic.stdout.splitlines() if "NEEDED" in line]
    assert all("libc.so" in line or "libm.so" in line for line in needed), needed
    symbols = subprocess.run(
        [find_tool("nm"), "-D", "--undefined-only", str(kernels.path)], capture_output=True, text=True, check=True
    )
    undefined = {line.split()[-1].partition("@")[0] for line in symbols.stdout.splitlines()}
    assert undefined <= ALLOWED_UNDEFINED


def test_half_conversion_calls_no_helper(kernels: Kernels) -> None:
    """A level without the instruction converts with integers, not by a call for every element."""
    symbols = subprocess.run([find_tool("nm"), str(kernels.path)], capture_output=True, text=True, check=True)
    helpers = ("__extendhfsf2", "__gnu_h2f_ieee", "fmaf")
    assert [name for name in helpers if name in symbols.stdout] == []


def test_the_kernels_compile_for_aarch64(tmp_path: Path) -> None:
    target = tmp_path / "kernels.o"
    compile_kernels(target, "--emit", "object", "--target-triple", "aarch64-unknown-linux-gnu")
    header = subprocess.run([find_tool("readelf"), "-h", str(target)], capture_output=True, text=True, check=True)
    assert "AArch64" in header.stdout
    symbols = subprocess.run(
        [find_tool("nm"), "--undefined-only", str(target)], capture_output=True, text=True, check=True
    )
    undefined = {line.split()[-1] for line in symbols.stdout.splitlines()}
    assert undefined <= ALLOWED_UNDEFINED
