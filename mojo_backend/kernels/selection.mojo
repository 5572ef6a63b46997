"""The greatest k of an array of scores."""

from std.memory import stack_allocation
from std.utils.numerics import neg_inf

from elements import F32, WIDTH, Floats, Integers, Lanes

# Maxima of groups tell early what cannot be among the greatest. With twice as many groups as places some 1.4 k values
# remain. Below so many members a group costs more than it saves.
comptime GROUPS_A_PLACE = 2
comptime MOST_GROUPS = 512
comptime LEAST_MEMBERS = 4


@always_inline
def score_at(values: Floats, position: Int64) -> Float32:
    return values.unsafe_load[alignment=1](Int(position))


@always_inline
def ranks_before(values: Floats, a: Int64, b: Int64) -> Bool:
    """Whether position `a` ranks before position `b`: greater score, or equal score and lower position."""
    var x = score_at(values, a)
    var y = score_at(values, b)
    return x > y or (x == y and a < b)


def sift_down(values: Floats, heap: Integers, start: Int, size: Int):
    """Restores a heap whose root ranks last, from `start` downwards."""
    var hole = start
    var moving = heap.unsafe_load[alignment=1](hole)
    while 2 * hole + 1 < size:
        var child = 2 * hole + 1
        var last = heap.unsafe_load[alignment=1](child)
        if child + 1 < size:
            var right = heap.unsafe_load[alignment=1](child + 1)
            if ranks_before(values, last, right):
                child += 1
                last = right
        if not ranks_before(values, moving, last):
            break
        heap.unsafe_store[alignment=1](hole, last)
        hole = child
    heap.unsafe_store[alignment=1](hole, moving)


@always_inline
def reaches(values: Floats, i: Int, count: Int, least: Float32) -> Bool:
    """Whether one of the WIDTH values from `i` on may be `least` or greater."""
    return i + WIDTH > count or values.unsafe_load[width=WIDTH, alignment=1](i).ge(least).reduce_or()


def keep_greatest(values: Floats, count: Int, size: Int, least: Float32, positions: Integers):
    """Makes a heap of the `size` greatest values, whose root ranks last.

    `least` is -infinity, or a value that at least `size` values reach.
    """
    var known = least > neg_inf[F32]()
    var filled = 0
    var i = 0
    while filled < size:
        if known and i % WIDTH == 0 and not reaches(values, i, count, least):
            i += WIDTH
            continue
        if not known or values.unsafe_load[alignment=1](i) >= least:
            positions.unsafe_store[alignment=1](filled, Int64(i))
            filled += 1
        i += 1
    for place in range(size // 2 - 1, -1, -1):
        sift_down(values, positions, place, size)
    var threshold = score_at(values, positions.unsafe_load[alignment=1](0))
    while i < count:
        # A later position never wins a tie, so only greater values are looked at one by one.
        if i + WIDTH <= count and not values.unsafe_load[width=WIDTH, alignment=1](i).gt(threshold).reduce_or():
            i += WIDTH
            continue
        var stop = min(i + WIDTH, count)
        while i < stop:
            if values.unsafe_load[alignment=1](i) > threshold:
                positions.unsafe_store[alignment=1](0, Int64(i))
                sift_down(values, positions, 0, size)
                threshold = score_at(values, positions.unsafe_load[alignment=1](0))
            i += 1


def reached_by(values: Floats, count: Int, size: Int, positions: Integers) -> Float32:
    """Returns a value that at least `size` values reach, or -infinity where looking for one would not pay.

    Each of the `size` greatest maxima of groups is such a value. A group is a lane of every so many vectors.
    """
    var vectors = (GROUPS_A_PLACE * size + WIDTH - 1) // WIDTH
    var groups = vectors * WIDTH
    if groups > MOST_GROUPS or count < LEAST_MEMBERS * groups:
        return neg_inf[F32]()
    var maxima = stack_allocation[MOST_GROUPS, Float32, alignment=64]()
    for v in range(vectors):
        var greatest = Lanes(neg_inf[F32]())
        for i in range(v * WIDTH, count - WIDTH + 1, groups):
            var found = values.unsafe_load[width=WIDTH, alignment=1](i)
            greatest = found.gt(greatest).select(found, greatest)
        maxima.unsafe_store(v * WIDTH, greatest)
    keep_greatest(maxima, groups, size, neg_inf[F32](), positions)
    return score_at(maxima, positions.unsafe_load[alignment=1](0))


@always_inline
def top_k(values: Floats, count: Int, k: Int, positions: Integers) -> Int:
    """Writes the positions of the min(k, count) greatest values, in rank order, and returns how many."""
    var size = min(k, count)
    if size <= 0:
        return 0
    keep_greatest(values, count, size, reached_by(values, count, size, positions), positions)
    for end in range(size - 1, 0, -1):
        var worst = positions.unsafe_load[alignment=1](0)
        positions.unsafe_store[alignment=1](0, positions.unsafe_load[alignment=1](end))
        positions.unsafe_store[alignment=1](end, worst)
        sift_down(values, positions, 0, end)
    return size
