"""Element types, raw pointers, and how IEEE halves and int8 codes become float32."""

from std.memory import bitcast
from std.sys import CompilationTarget, simd_width_of

comptime F16 = DType.float16
comptime F32 = DType.float32
comptime F64 = DType.float64
comptime I8 = DType.int8
comptime WIDTH = simd_width_of[F32]()
comptime Lanes = SIMD[F32, WIDTH]

comptime Elements[T: DType] = Pointer[Scalar[T], MutUntrackedOrigin]
comptime Floats = Elements[F32]
comptime Integers = Elements[DType.int64]
comptime Bytes = Elements[DType.uint8]

# Without an instruction for it the compiler would call a helper function for every half; every CPU with AVX2 has one.
comptime HAS_HALF_CONVERSION = not CompilationTarget.is_x86() or CompilationTarget.has_avx2()
# Where there is no fused multiply-add, asking for one calls libm's emulation.
comptime HAS_FMA = not CompilationTarget.is_x86() or CompilationTarget.has_fma()


@always_inline
def widen_bits[N: Int](half: SIMD[F16, N]) -> SIMD[F32, N]:
    """Converts IEEE half to float32 with integer operations: exact for every value, subnormal or not finite."""
    var bits = bitcast[DType.uint16, N](half).cast[DType.uint32]()
    var sign = (bits & 0x8000) << 16
    var magnitude = bits & 0x7FFF
    # A half's exponent bias is 15, a float's 127: move the fields up, then add the difference of 112.
    var normal = (magnitude << 13) + (112 << 23)
    # Infinity and NaN have the greatest exponent in both formats.
    normal = magnitude.ge(0x7C00).select(normal + (112 << 23), normal)
    # A subnormal half is its bits times 2^-24, a normal number as a float.
    var subnormal = bitcast[DType.uint32, N](magnitude.cast[DType.int32]().cast[F32]() * Float32(2.0**-24))
    return bitcast[F32, N](magnitude.lt(0x0400).select(subnormal, normal) | sign)


@always_inline
def widen[T: DType, N: Int](values: SIMD[T, N]) -> SIMD[F32, N]:
    """Converts float32, float16 or int8 values to float32, which is exact."""
    comptime if T == F32:
        return rebind[SIMD[F32, N]](values)
    elif T == I8 or HAS_HALF_CONVERSION:
        return values.cast[F32]()
    else:
        return widen_bits[N](rebind[SIMD[F16, N]](values))


@always_inline
def load[T: DType, N: Int](source: Elements[T], i: Int) -> SIMD[F32, N]:
    """Loads elements i .. i+N-1, at any alignment, as float32."""
    return widen[T, N](source.unsafe_load[width=N, alignment=1](i))


@no_inline
def widen_run[T: DType](source: Elements[T], target: Floats, count: Int):
    """Writes `count` consecutive elements to `target` as float32."""
    comptime UNROLL = 4
    var i = 0
    while i + UNROLL * WIDTH <= count:
        comptime for u in range(UNROLL):
            target.unsafe_store(i + u * WIDTH, load[T, WIDTH](source, i + u * WIDTH))
        i += UNROLL * WIDTH
    while i + WIDTH <= count:
        target.unsafe_store(i, load[T, WIDTH](source, i))
        i += WIDTH
    while i < count:
        target.unsafe_store(i, load[T, 1](source, i))
        i += 1


@no_inline
def decode_rows[
    DIM: Int
](codes: Elements[I8], stride: Int, scales: Bytes, scales_stride: Int, target: Floats, rows: Int, runtime_dim: Int):
    """Writes code * scale of `rows` rows to `target`, one below the other. Strides are bytes from row to row."""
    comptime STEP = 4 * WIDTH
    var dim = DIM if DIM > 0 else runtime_dim
    for row in range(rows):
        var source = codes.unsafe_offset(row * stride)
        var into = target.unsafe_offset(row * dim)
        var scale = scale_at(scales.unsafe_offset(row * scales_stride))
        var i = 0
        while i + STEP <= dim:
            comptime for u in range(STEP // WIDTH):
                into.unsafe_store[alignment=4](i + u * WIDTH, load[I8, WIDTH](source, i + u * WIDTH) * scale)
            i += STEP
        while i + WIDTH <= dim:
            into.unsafe_store[alignment=4](i, load[I8, WIDTH](source, i) * scale)
            i += WIDTH
        while i < dim:
            into.unsafe_store[alignment=4](i, load[I8, 1](source, i) * scale)
            i += 1


@always_inline
def scale_at(place: Bytes) -> Float32:
    """The float32 at an address that need not be aligned."""
    return Floats(unsafe_from_address=Int(place)).unsafe_load[alignment=1](0)


@always_inline
def multiply_add(a: Lanes, b: Lanes, c: Lanes) -> Lanes:
    """a * b + c, fused where the CPU level has the instruction."""
    comptime if HAS_FMA:
        return a.fma(b, c)
    else:
        return a * b + c


@always_inline
def address[T: DType](elements: Elements[T]) -> Bytes:
    return Bytes(unsafe_from_address=Int(elements))


@always_inline
def position_at(positions: Int, i: Int) -> Int:
    """positions[i], or i where the address `positions` is null."""
    if positions == 0:
        return i
    return Int(Integers(unsafe_from_address=positions).unsafe_load[alignment=1](i))
