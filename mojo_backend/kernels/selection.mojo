"""The greatest k of an array of scores."""

from elements import WIDTH, Floats, Integers


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
def top_k(values: Floats, count: Int, k: Int, positions: Integers) -> Int:
    """Writes the positions of the min(k, count) greatest values, in rank order, and returns how many."""
    var size = min(k, count)
    if size <= 0:
        return 0
    for i in range(size):
        positions.unsafe_store[alignment=1](i, Int64(i))
    for i in range(size // 2 - 1, -1, -1):
        sift_down(values, positions, i, size)
    var threshold = score_at(values, positions.unsafe_load[alignment=1](0))
    var i = size
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
    for end in range(size - 1, 0, -1):
        var worst = positions.unsafe_load[alignment=1](0)
        positions.unsafe_store[alignment=1](0, positions.unsafe_load[alignment=1](end))
        positions.unsafe_store[alignment=1](end, worst)
        sift_down(values, positions, 0, end)
    return size
