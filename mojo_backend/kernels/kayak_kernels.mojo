"""The C interface of the kernels. README.md beside this file describes every argument."""

from centroids import Numbers, add_lists, assign, probe
from elements import F16, F32, I8, Bytes, Elements, Floats, Integers, address
from maxsim import PANEL, maxsim
from reductions import dot_rows, proxy_means
from selection import top_k

comptime ABI_VERSION = 3
comptime Halves = Elements[F16]
comptime Codes = Elements[I8]


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
        panels, panel_count, query_offsets, query_count, vectors, 0, address(vectors), 0, offsets, positions, lo, hi,
        dim, maxima, out_scores, out_stride,
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
        panels, panel_count, query_offsets, query_count, vectors, 0, address(vectors), 0, offsets, positions, lo, hi,
        dim, maxima, out_scores, out_stride,
    )


@export
def kayak_maxsim_i8(
    panels: Floats,
    panel_count: Int,
    query_offsets: Integers,
    query_count: Int,
    codes: Codes,
    codes_stride: Int,
    scales: Bytes,
    scales_stride: Int,
    offsets: Integers,
    positions: Int,
    lo: Int,
    hi: Int,
    dim: Int,
    maxima: Floats,
    out_scores: Floats,
    out_stride: Int,
) abi("C"):
    maxsim[I8](
        panels, panel_count, query_offsets, query_count, codes, codes_stride, scales, scales_stride, offsets,
        positions, lo, hi, dim, maxima, out_scores, out_stride,
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


@export
def kayak_assign_f32(
    panels: Floats, panel_count: Int, vectors: Floats, lo: Int, hi: Int, dim: Int, out_codes: Numbers,
    out_similarities: Floats,
) abi("C"):
    assign[F32](panels, panel_count, vectors, lo, hi, dim, out_codes, out_similarities)


@export
def kayak_assign_f16(
    panels: Floats, panel_count: Int, vectors: Halves, lo: Int, hi: Int, dim: Int, out_codes: Numbers,
    out_similarities: Floats,
) abi("C"):
    assign[F16](panels, panel_count, vectors, lo, hi, dim, out_codes, out_similarities)


@export
def kayak_probe(
    panels: Floats,
    panel_count: Int,
    centroid_count: Int,
    vectors: Floats,
    lo: Int,
    hi: Int,
    dim: Int,
    count: Int,
    scratch: Floats,
    positions: Integers,
    out_centroids: Numbers,
    out_similarities: Floats,
) abi("C"):
    probe(
        panels, panel_count, centroid_count, vectors, lo, hi, dim, count, scratch, positions, out_centroids,
        out_similarities,
    )


@export
def kayak_add_lists(
    probed: Numbers,
    gains: Floats,
    probes: Int,
    token_lo: Int,
    token_hi: Int,
    list_offsets: Integers,
    postings: Numbers,
    document_lo: Int,
    document_hi: Int,
    document_count: Int,
    marks: Numbers,
    scores: Floats,
) abi("C"):
    var is_part = document_lo > 0 or document_hi < document_count
    add_lists(
        probed, gains, probes, token_lo, token_hi, list_offsets, postings, document_lo, document_hi, is_part, marks,
        scores,
    )
