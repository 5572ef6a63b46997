"""The C interface of the kernels. README.md beside this file describes every argument."""

from elements import F16, F32, Elements, Floats, Integers
from maxsim import PANEL, maxsim
from reductions import dot_rows, proxy_means
from selection import top_k

comptime ABI_VERSION = 1
comptime Halves = Elements[F16]


@export
def kayak_abi_version() abi("C") -> Int:
    return ABI_VERSION


@export
def kayak_panel_width() abi("C") -> Int:
    return PANEL


@export
def kayak_maxsim_f32(
    panels: Floats,
    panel_count: Int,
    query_offsets: Integers,
    query_count: Int,
    vectors: Floats,
    offsets: Integers,
    positions: Int,
    lo: Int,
    hi: Int,
    dim: Int,
    maxima: Floats,
    out_scores: Floats,
    out_stride: Int,
) abi("C"):
    maxsim[F32](
        panels, panel_count, query_offsets, query_count, vectors, offsets, positions, lo, hi, dim, maxima, out_scores,
        out_stride,
    )


@export
def kayak_maxsim_f16(
    panels: Floats,
    panel_count: Int,
    query_offsets: Integers,
    query_count: Int,
    vectors: Halves,
    offsets: Integers,
    positions: Int,
    lo: Int,
    hi: Int,
    dim: Int,
    maxima: Floats,
    out_scores: Floats,
    out_stride: Int,
) abi("C"):
    maxsim[F16](
        panels, panel_count, query_offsets, query_count, vectors, offsets, positions, lo, hi, dim, maxima, out_scores,
        out_stride,
    )


@export
def kayak_proxy_means_f32(
    vectors: Floats, offsets: Integers, positions: Int, lo: Int, hi: Int, dim: Int, budget: Int, out_means: Floats
) abi("C"):
    proxy_means[F32](vectors, offsets, positions, lo, hi, dim, budget, out_means)


@export
def kayak_proxy_means_f16(
    vectors: Halves, offsets: Integers, positions: Int, lo: Int, hi: Int, dim: Int, budget: Int, out_means: Floats
) abi("C"):
    proxy_means[F16](vectors, offsets, positions, lo, hi, dim, budget, out_means)


@export
def kayak_dot_rows(
    matrix: Floats, rows_lo: Int, rows_hi: Int, dim: Int, vector: Floats, out_products: Floats
) abi("C"):
    dot_rows(matrix, rows_lo, rows_hi, dim, vector, out_products)


@export
def kayak_top_k(values: Floats, count: Int, k: Int, out_positions: Integers) abi("C") -> Int:
    return top_k(values, count, k, out_positions)
