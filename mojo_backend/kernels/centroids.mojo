"""Centroids of token vectors: the most similar one, the most similar few, and posting lists added up.

Centroids lie in panels as query tokens do in `maxsim.mojo`: PANEL of them transposed to [dim][PANEL]. The last panel is
filled up with copies of centroid 0, whose lower number wins every tie, so padding is never the answer.
"""

from std.collections import Array
from std.memory import stack_allocation
from std.utils.numerics import neg_inf

from elements import F32, WIDTH, Elements, Floats, Integers, Lanes, address, load, widen_run
from maxsim import (
    DIMS, GENERAL_ROWS, GENERAL_UNROLL, PANEL, ROWS, SCRATCH_ELEMENTS, UNROLL, VECTORS, accumulate, prefetch_ahead,
)
from selection import top_k

comptime I32 = DType.int32
comptime Numbers = Elements[I32]

# Vectors that all panels pass over before the next ones: a panel then comes from a farther cache once for so many.
comptime TILE = 240


@always_inline
def products[
    T: DType, DIM: Int, R: Int
](panel: Floats, rows: Elements[T], runtime_dim: Int, mut sums: Array[Lanes, VECTORS * R]):
    """Multiplies R vectors by the centroids of a panel. DIM 0: known at run time."""
    var k = 0
    comptime if DIM > 0:
        var ahead = address(rows.unsafe_offset(R * DIM))
        while k < DIM:
            prefetch_ahead[UNROLL * R](ahead.unsafe_offset(k * R * 4))
            accumulate[T, VECTORS, R, UNROLL](panel, rows, DIM, k, sums)
            k += UNROLL
    else:
        while k + GENERAL_UNROLL <= runtime_dim:
            accumulate[T, VECTORS, R, GENERAL_UNROLL](panel, rows, runtime_dim, k, sums)
            k += GENERAL_UNROLL
        while k < runtime_dim:
            accumulate[T, VECTORS, R, 1](panel, rows, runtime_dim, k, sums)
            k += 1


@no_inline
def best_block[
    T: DType, DIM: Int, R: Int
](panel: Floats, rows: Elements[T], dim: Int, number: Int32, best: Floats, winners: Numbers):
    """Folds panel `number` into the best of R vectors, lane by lane; an earlier panel wins a tie."""
    var sums = Array[Lanes, VECTORS * R](fill=Lanes(0))
    products[T, DIM, R](panel, rows, dim, sums)
    comptime for i in range(VECTORS * R):
        var known = best.unsafe_load[width=WIDTH, alignment=4](i * WIDTH)
        var better = sums[i].gt(known)
        best.unsafe_store[alignment=4](i * WIDTH, better.select(sums[i], known))
        var kept = winners.unsafe_load[width=WIDTH, alignment=4](i * WIDTH)
        winners.unsafe_store[alignment=4](i * WIDTH, better.select(SIMD[I32, WIDTH](number), kept))


@no_inline
def similarity_block[
    DIM: Int, R: Int
](panel: Floats, rows: Floats, dim: Int, similarities: Floats, stride: Int):
    """Writes the similarities of R vectors with the centroids of a panel."""
    var sums = Array[Lanes, VECTORS * R](fill=Lanes(0))
    products[F32, DIM, R](panel, rows, dim, sums)
    comptime for r in range(R):
        comptime for v in range(VECTORS):
            similarities.unsafe_store[alignment=4](r * stride + v * WIDTH, sums[r * VECTORS + v])


@always_inline
def block_rows(left: Int, most: Int) -> Int:
    """Vectors of the next block: two halves rather than a full block and a remainder of one or two."""
    return most if left >= 2 * most or left == most else (left if left < most else (left + 1) // 2)


def assign_rows[
    T: DType, DIM: Int
](
    panels: Floats,
    panel_count: Int,
    vectors: Elements[T],
    lo: Int,
    hi: Int,
    runtime_dim: Int,
    codes: Numbers,
    similarities: Floats,
):
    comptime MOST = ROWS if DIM > 0 else GENERAL_ROWS
    var dim = DIM if DIM > 0 else runtime_dim
    var tile = TILE
    comptime if T != F32:
        tile = min(TILE, SCRATCH_ELEMENTS // dim)
    var scratch = stack_allocation[SCRATCH_ELEMENTS, Float32, alignment=64]()
    var best = stack_allocation[TILE * PANEL, Float32, alignment=64]()
    var winners = stack_allocation[TILE * PANEL, Int32, alignment=64]()
    var first = lo
    while first < hi:
        var rows = vectors.unsafe_offset(first * dim)
        var count = min(max(tile, 1), hi - first)
        # A winner is read only where a similarity has replaced the infinity, so winners start as they are.
        for lane in range(0, count * PANEL, WIDTH):
            best.unsafe_store[alignment=4](lane, Lanes(neg_inf[F32]()))
        if tile == 0:
            # Longer than the scratch: widened coordinate by coordinate.
            for p in range(panel_count):
                best_block[T, 0, 1](panels.unsafe_offset(p * dim * PANEL), rows, dim, Int32(p), best, winners)
        else:
            var wide: Floats
            comptime if T == F32:
                wide = rebind[Floats](rows)
            else:
                widen_run(rows, scratch, count * dim)
                wide = scratch
            for p in range(panel_count):
                var panel = panels.unsafe_offset(p * dim * PANEL)
                var row = 0
                while row < count:
                    var size = block_rows(count - row, MOST)
                    comptime for r in range(1, MOST + 1):
                        if size == r:
                            best_block[F32, DIM, r](
                                panel,
                                wide.unsafe_offset(row * dim),
                                dim,
                                Int32(p),
                                best.unsafe_offset(row * PANEL),
                                winners.unsafe_offset(row * PANEL),
                            )
                    row += size
        for i in range(count):
            var value = neg_inf[F32]()
            var code = Int32(0)
            for lane in range(PANEL):
                var candidate = best.unsafe_load[width=1](i * PANEL + lane)
                var number = winners.unsafe_load[width=1](i * PANEL + lane) * Int32(PANEL) + Int32(lane)
                if candidate > value or (candidate == value and number < code):
                    value = candidate
                    code = number
            codes.unsafe_store[alignment=1](first + i, code)
            similarities.unsafe_store[alignment=1](first + i, value)
        first += count


@always_inline
def assign[
    T: DType
](
    panels: Floats,
    panel_count: Int,
    vectors: Elements[T],
    lo: Int,
    hi: Int,
    dim: Int,
    codes: Numbers,
    similarities: Floats,
):
    """Writes the most similar centroid of vectors lo .. hi-1, and the similarity."""
    comptime for d in range(len(DIMS)):
        comptime DIM = DIMS[d]
        if dim == DIM:
            return assign_rows[T, DIM](panels, panel_count, vectors, lo, hi, dim, codes, similarities)
    assign_rows[T, 0](panels, panel_count, vectors, lo, hi, dim, codes, similarities)


def probe_rows[
    DIM: Int
](
    panels: Floats,
    panel_count: Int,
    centroid_count: Int,
    vectors: Floats,
    lo: Int,
    hi: Int,
    runtime_dim: Int,
    count: Int,
    scratch: Floats,
    positions: Integers,
    probed: Numbers,
    similarities: Floats,
):
    comptime MOST = ROWS if DIM > 0 else GENERAL_ROWS
    var dim = DIM if DIM > 0 else runtime_dim
    var stride = panel_count * PANEL
    var row = lo
    while row < hi:
        var size = block_rows(hi - row, MOST)
        for p in range(panel_count):
            comptime for r in range(1, MOST + 1):
                if size == r:
                    similarity_block[DIM, r](
                        panels.unsafe_offset(p * dim * PANEL),
                        vectors.unsafe_offset(row * dim),
                        dim,
                        scratch.unsafe_offset(p * PANEL),
                        stride,
                    )
        for r in range(size):
            var values = scratch.unsafe_offset(r * stride)
            _ = top_k(values, centroid_count, count, positions)
            for i in range(count):
                var centroid = positions.unsafe_load[alignment=1](i)
                var place = (row + r) * count + i
                probed.unsafe_store[alignment=1](place, centroid.cast[I32]())
                similarities.unsafe_store[alignment=1](place, values.unsafe_load[width=1](Int(centroid)))
        row += size


@always_inline
def probe(
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
    probed: Numbers,
    similarities: Floats,
):
    """Writes the `count` most similar centroids of vectors lo .. hi-1, best first, and their similarities."""
    comptime for d in range(len(DIMS)):
        comptime DIM = DIMS[d]
        if dim == DIM:
            return probe_rows[DIM](
                panels, panel_count, centroid_count, vectors, lo, hi, dim, count, scratch, positions, probed,
                similarities,
            )
    probe_rows[0](
        panels, panel_count, centroid_count, vectors, lo, hi, dim, count, scratch, positions, probed, similarities
    )


@always_inline
def first_at_least(postings: Numbers, begin: Int, end: Int, document: Int) -> Int:
    """The first place in an ascending list whose document is not below `document`."""
    var low = begin
    var high = end
    while low < high:
        var middle = (low + high) // 2
        if Int(postings.unsafe_load[alignment=1](middle)) < document:
            low = middle + 1
        else:
            high = middle
    return low


@always_inline
def add_lists(
    probed: Numbers,
    gains: Floats,
    probes: Int,
    token_lo: Int,
    token_hi: Int,
    list_offsets: Integers,
    postings: Numbers,
    document_lo: Int,
    document_hi: Int,
    is_part: Bool,
    marks: Numbers,
    scores: Floats,
):
    """Adds to each document the gain of each token's first probed centroid that lists it."""
    for token in range(token_lo, token_hi):
        var mark = Int32(token + 1)
        for p in range(probes):
            var centroid = Int(probed.unsafe_load[alignment=1](token * probes + p))
            var gain = gains.unsafe_load[alignment=1](token * probes + p)
            var i = Int(list_offsets.unsafe_load[alignment=1](centroid))
            var end = Int(list_offsets.unsafe_load[alignment=1](centroid + 1))
            if is_part:
                i = first_at_least(postings, i, end, document_lo)
                end = first_at_least(postings, i, end, document_hi)
            while i < end:
                var document = Int(postings.unsafe_load[alignment=1](i))
                var known = marks.unsafe_load[alignment=1](document) == mark
                var score = scores.unsafe_load[alignment=1](document)
                # Without a branch: whether an earlier list named the document cannot be predicted.
                scores.unsafe_store[alignment=1](document, score + (Float32(0) if known else gain))
                marks.unsafe_store[alignment=1](document, mark)
                i += 1
