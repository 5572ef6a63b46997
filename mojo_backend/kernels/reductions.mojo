"""Document proxies: means of token vectors, and dot products of rows with one vector."""

from std.collections import Array

from elements import F32, F64, WIDTH, Elements, Floats, Integers, Lanes, load, multiply_add, position_at

comptime MEAN_VECTORS = 4
comptime DOT_VECTORS = 4


@always_inline
def mean_columns[
    T: DType, N: Int
](rows: Elements[T], count: Int, dim: Int, column: Int, mean: Floats):
    """Writes the means of columns column .. column+N-1 over `count` rows."""
    var sums = SIMD[F64, N](0)
    for row in range(count):
        sums += load[T, N](rows, row * dim + column).cast[F64]()
    mean.unsafe_store[alignment=1](column, (sums / Float64(count)).cast[F32]())


@always_inline
def proxy_means[
    T: DType
](
    vectors: Elements[T], offsets: Integers, positions: Int, lo: Int, hi: Int, dim: Int, budget: Int, means: Floats
):
    """Writes to row i the mean of the first `budget` vectors (all, for 0) of document i, or positions[i]."""
    comptime WIDE = MEAN_VECTORS * WIDTH
    for i in range(lo, hi):
        var document = position_at(positions, i)
        var first = Int(offsets.unsafe_load[alignment=1](document))
        var count = Int(offsets.unsafe_load[alignment=1](document + 1)) - first
        if budget > 0:
            count = min(count, budget)
        var rows = vectors.unsafe_offset(first * dim)
        var mean = means.unsafe_offset(i * dim)
        var column = 0
        while column + WIDE <= dim:
            mean_columns[T, WIDE](rows, count, dim, column, mean)
            column += WIDE
        while column + WIDTH <= dim:
            mean_columns[T, WIDTH](rows, count, dim, column, mean)
            column += WIDTH
        while column < dim:
            mean_columns[T, 1](rows, count, dim, column, mean)
            column += 1


@always_inline
def dot_rows(matrix: Floats, lo: Int, hi: Int, dim: Int, vector: Floats, products: Floats):
    """Writes to element i the dot product of row i of `matrix` with `vector`."""
    for i in range(lo, hi):
        var row = matrix.unsafe_offset(i * dim)
        var sums = Array[Lanes, DOT_VECTORS](fill=Lanes(0))
        var k = 0
        while k + DOT_VECTORS * WIDTH <= dim:
            comptime for v in range(DOT_VECTORS):
                sums[v] = multiply_add(
                    row.unsafe_load[width=WIDTH, alignment=1](k + v * WIDTH),
                    vector.unsafe_load[width=WIDTH, alignment=1](k + v * WIDTH),
                    sums[v],
                )
            k += DOT_VECTORS * WIDTH
        while k + WIDTH <= dim:
            sums[0] = multiply_add(
                row.unsafe_load[width=WIDTH, alignment=1](k), vector.unsafe_load[width=WIDTH, alignment=1](k), sums[0]
            )
            k += WIDTH
        comptime for v in range(1, DOT_VECTORS):
            sums[0] += sums[v]
        var total = sums[0].cast[F64]().reduce_add()
        while k < dim:
            total += (
                row.unsafe_load[width=1, alignment=1](k).cast[F64]()
                * vector.unsafe_load[width=1, alignment=1](k).cast[F64]()
            )
            k += 1
        products.unsafe_store[alignment=1](i, total.cast[F32]())
