"""Exact MaxSim with query tokens in SIMD lanes.

A panel holds PANEL query tokens transposed to [dim][PANEL], so that one vector load gives one coordinate of WIDTH query
tokens. A block multiplies a panel by R document tokens: VECTORS * R accumulators stay in registers over all of `dim`,
and are then folded into the running maximum of each query token. Every (query token, document token) product is
accumulated coordinate by coordinate with one accumulator, whatever R is, so a document's score does not depend on
how its tokens fall into blocks.
"""

from std.collections import Array
from std.math import ceildiv
from std.memory import stack_allocation
from std.sys import CompilationTarget, size_of
from std.sys.intrinsics import PrefetchOptions, prefetch
from std.utils.numerics import neg_inf

from elements import (
    F32,
    F64,
    I8,
    WIDTH,
    Bytes,
    Elements,
    Floats,
    Integers,
    Lanes,
    address,
    decode_rows,
    load,
    multiply_add,
    position_at,
    scale_at,
    widen_run,
)

# VECTORS * ROWS accumulators, VECTORS panel loads and one broadcast fit the registers: 32 with AVX-512 and on aarch64,
# 16 with AVX2 and SSE4. Without a fused multiply-add every product takes a register of its own.
comptime IS_X86 = CompilationTarget.is_x86()
comptime VECTORS = 2 if WIDTH > 4 else 4
comptime ROWS = 12 if WIDTH == 16 else (6 if WIDTH == 8 or not IS_X86 else 2)
comptime PANEL = VECTORS * WIDTH
comptime UNROLL = 4
# Where the distance between tokens is known at run time only, addresses take registers too, and the compiler would
# hold loaded values in registers that it does not have.
comptime GENERAL_ROWS = min(ROWS, 8)
comptime GENERAL_UNROLL = 2
comptime CACHE_LINE = 64
comptime DIMS = [64, 96, 128, 256, 384, 768]

# Document tokens that all panels of a batch pass over before the next ones.
comptime TILE_TOKENS = 60
# float16 is widened, and int8 decoded, tile by tile on the stack: 128 KiB. With one panel nothing of a tile is reused, and a smaller one
# leaves it room in L1.
comptime SCRATCH_ELEMENTS = 32768
comptime SINGLE_TILE_ELEMENTS = 4096


@always_inline
def accumulate[
    T: DType, V: Int, R: Int, U: Int
](panel: Floats, rows: Elements[T], stride: Int, k: Int, mut sums: Array[Lanes, V * R], scale: Float32 = 1):
    """Adds the products of coordinates k .. k+U-1; int8 codes count `scale` times."""
    comptime for u in range(U):
        var query = Array[Lanes, V](fill=Lanes(0))
        comptime for v in range(V):
            query[v] = panel.unsafe_load[width=WIDTH, alignment=4]((k + u) * PANEL + v * WIDTH)
        comptime for r in range(R):
            var value = Lanes(load[T, 1](rows, r * stride + k + u))
            comptime if T == I8:
                value *= scale
            comptime for v in range(V):
                sums[r * V + v] = multiply_add(query[v], value, sums[r * V + v])


@always_inline
def prefetch_ahead[COUNT: Int](ahead: Bytes):
    """Asks for COUNT bytes."""
    comptime for line in range(ceildiv(COUNT, CACHE_LINE)):
        prefetch[PrefetchOptions().for_read().high_locality().to_data_cache()](ahead.unsafe_offset(line * CACHE_LINE))


@no_inline
def block[
    T: DType, DIM: Int, V: Int, R: Int, STORED: Int = 4
](
    panel: Floats, rows: Elements[T], runtime_dim: Int, scale: Float32, ahead: Bytes, ahead_step: Int, maxima: Floats
):
    """Folds R document tokens into the maxima of a panel's first V * WIDTH query tokens. DIM 0: known at run time.

    Tokens that are still int8 have one scale: they come here one at a time. STORED is at least the bytes that an element
    takes where it is stored, from which follows how much to prefetch.
    """
    var sums = Array[Lanes, V * R](fill=Lanes(0))
    var k = 0
    comptime if DIM > 0:
        while k < DIM:
            prefetch_ahead[UNROLL * R * STORED](ahead.unsafe_offset(k * ahead_step))
            accumulate[T, V, R, UNROLL](panel, rows, DIM, k, sums, scale)
            k += UNROLL
    else:
        while k + GENERAL_UNROLL <= runtime_dim:
            prefetch_ahead[GENERAL_UNROLL * R * STORED](ahead.unsafe_offset(k * ahead_step))
            accumulate[T, V, R, GENERAL_UNROLL](panel, rows, runtime_dim, k, sums, scale)
            k += GENERAL_UNROLL
        while k < runtime_dim:
            accumulate[T, V, R, 1](panel, rows, runtime_dim, k, sums, scale)
            k += 1
    comptime for v in range(V):
        var best = maxima.unsafe_load[width=WIDTH, alignment=4](v * WIDTH)
        comptime for r in range(R):
            best = sums[r * V + v].gt(best).select(sums[r * V + v], best)
        maxima.unsafe_store[alignment=4](v * WIDTH, best)


@always_inline
def multiply_tile[
    DIM: Int, V: Int, STORED: Int
](panel: Floats, rows: Floats, count: Int, dim: Int, stored: Bytes, next: Bytes, maxima: Floats):
    """Folds `count` document tokens into a panel's maxima, in blocks of MOST and at most two smaller ones.

    `stored` is where the tokens come from, `next` where the tokens after them start: what to prefetch.
    """
    comptime MOST = ROWS if DIM > 0 else GENERAL_ROWS
    comptime NEAR = 1 if STORED == 1 else 4  # float16 shares the code of float32
    var row = 0
    while row < count:
        var left = count - row
        # Two halves keep more accumulators busy than a full block and a remainder of one or two tokens.
        var size = MOST if left >= 2 * MOST or left == MOST else (left if left < MOST else (left + 1) // 2)
        var here = rows.unsafe_offset(row * dim)
        var ahead = next
        comptime if STORED == 4:
            if size < left:
                ahead = stored.unsafe_offset((row + size) * dim * STORED)
        else:
            ahead = next.unsafe_offset(row * dim * STORED)
        comptime for r in range(1, MOST + 1):
            if size == r:
                block[F32, DIM, V, r, NEAR](panel, here, dim, 1, ahead, r * STORED, maxima)
        row += size


@always_inline
def sum_of(maxima: Floats, count: Int) -> Float64:
    """Sums in float64, in an order that depends on `count` alone."""
    comptime LANES = 8
    var parts = SIMD[F64, LANES](0)
    var i = 0
    while i + LANES <= count:
        parts += maxima.unsafe_load[width=LANES, alignment=4](i).cast[F64]()
        i += LANES
    var total = parts.reduce_add()
    while i < count:
        total += maxima.unsafe_load[width=1, alignment=4](i).cast[F64]()
        i += 1
    return total


def tile_tokens[T: DType](dim: Int, panel_count: Int) -> Int:
    """The most document tokens of a tile; 0 where a token is too long to be widened as a whole."""
    comptime if T == F32:
        return Int.MAX if panel_count == 1 else TILE_TOKENS
    var wanted = TILE_TOKENS if panel_count > 1 else max(SINGLE_TILE_ELEMENTS // dim // ROWS, 1) * ROWS
    return min(wanted, SCRATCH_ELEMENTS // dim)


@always_inline
def next_tile(left: Int, tile: Int) -> Int:
    """Tokens of the next tile: two halves rather than a full tile and a small remainder."""
    if left <= tile:
        return left
    if left >= 2 * tile:
        return tile
    return min(ceildiv(left, 2 * ROWS) * ROWS, tile)


def scan[
    T: DType, DIM: Int
](
    panels: Floats,
    panel_count: Int,
    query_offsets: Integers,
    query_count: Int,
    vectors: Elements[T],
    vectors_stride: Int,
    scales: Bytes,
    scales_stride: Int,
    offsets: Integers,
    positions: Int,
    lo: Int,
    hi: Int,
    runtime_dim: Int,
    maxima: Floats,
    scores: Floats,
    scores_stride: Int,
):
    comptime STORED = size_of[Scalar[T]]()
    var dim = DIM if DIM > 0 else runtime_dim
    var stride = dim
    comptime if T == I8:
        stride = vectors_stride
    var lanes = panel_count * PANEL
    var query_tokens = Int(query_offsets.unsafe_load[alignment=1](query_count))
    # The padding of the last panel is not multiplied where it fills whole vectors.
    var full_panels = panel_count if query_tokens > lanes - WIDTH else panel_count - 1
    var tile = tile_tokens[T](dim, panel_count)
    var scratch = stack_allocation[SCRATCH_ELEMENTS, Float32, alignment=64]()
    for i in range(lo, hi):
        var document = position_at(positions, i)
        var token = Int(offsets.unsafe_load[alignment=1](document))
        var end = Int(offsets.unsafe_load[alignment=1](document + 1))
        for lane in range(0, lanes, WIDTH):
            maxima.unsafe_store[alignment=4](lane, Lanes(neg_inf[F32]()))
        while token < end:
            var rows = vectors.unsafe_offset(token * stride)
            var token_scales = scales.unsafe_offset(token * scales_stride)
            var count = next_tile(end - token, tile)
            comptime if T != F32:
                if tile == 0:
                    # Longer than the scratch: widen coordinate by coordinate.
                    var scale: Float32 = 1
                    comptime if T == I8:
                        scale = scale_at(token_scales)
                    for p in range(panel_count):
                        block[T, 0, VECTORS, 1](
                            panels.unsafe_offset(p * dim * PANEL),
                            rows,
                            dim,
                            scale,
                            address(rows),
                            STORED,
                            maxima.unsafe_offset(p * PANEL),
                        )
                    token += 1
                    continue
                comptime if T == I8:
                    decode_rows[DIM](
                        rebind[Elements[I8]](rows), stride, token_scales, scales_stride, scratch, count, dim
                    )
                else:
                    widen_run(rows, scratch, count * dim)
            var wide: Floats
            comptime if T == F32:
                wide = rebind[Floats](rows)
            else:
                wide = scratch
            var following = token + count
            if following == end and i + 1 < hi:
                following = Int(offsets.unsafe_load[alignment=1](position_at(positions, i + 1)))
            var stored = address(rows)
            var next = address(vectors.unsafe_offset(following * stride))
            for p in range(full_panels):
                multiply_tile[DIM, VECTORS, STORED](
                    panels.unsafe_offset(p * dim * PANEL),
                    wide,
                    count,
                    dim,
                    stored,
                    next,
                    maxima.unsafe_offset(p * PANEL),
                )
            if full_panels < panel_count:
                multiply_tile[DIM, VECTORS - 1, STORED](
                    panels.unsafe_offset(full_panels * dim * PANEL),
                    wide,
                    count,
                    dim,
                    stored,
                    next,
                    maxima.unsafe_offset(full_panels * PANEL),
                )
            token += count
        for q in range(query_count):
            var first = Int(query_offsets.unsafe_load[alignment=1](q))
            var last = Int(query_offsets.unsafe_load[alignment=1](q + 1))
            scores.unsafe_store[alignment=1](
                q * scores_stride + i, sum_of(maxima.unsafe_offset(first), last - first).cast[F32]()
            )


@always_inline
def maxsim[
    T: DType
](
    panels: Floats,
    panel_count: Int,
    query_offsets: Integers,
    query_count: Int,
    vectors: Elements[T],
    vectors_stride: Int,
    scales: Bytes,
    scales_stride: Int,
    offsets: Integers,
    positions: Int,
    lo: Int,
    hi: Int,
    dim: Int,
    maxima: Floats,
    scores: Floats,
    scores_stride: Int,
):
    """Scores documents lo .. hi-1 (of `positions`, where given) against every query.

    Only int8 has scales, and strides: bytes from a token's codes, or scale, to the next one's.
    """
    comptime for d in range(len(DIMS)):
        comptime DIM = DIMS[d]
        if dim == DIM:
            return scan[T, DIM](
                panels, panel_count, query_offsets, query_count, vectors, vectors_stride, scales, scales_stride,
                offsets, positions, lo, hi, dim, maxima, scores, scores_stride,
            )
    scan[T, 0](
        panels, panel_count, query_offsets, query_count, vectors, vectors_stride, scales, scales_stride, offsets,
        positions, lo, hi, dim, maxima, scores, scores_stride,
    )
