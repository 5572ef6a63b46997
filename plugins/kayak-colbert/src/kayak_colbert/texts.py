"""Texts as they come in: checked, and put into batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal

import kayak
import numpy as np
import numpy.typing as npt

Side = Literal["query", "document"]
"""Which half of a late-interaction model encodes a text."""

PASS_TOKENS = 64
"""What a forward pass on a CPU costs besides its tokens, in tokens: it reads all weights, however few tokens there are.

Weights and the work of a token grow alike from model to model, so the figure says little about the model. Measured with
MiniLM on two cores: a pass takes 7 ms more than its tokens, at 0.1 ms each.
"""


def checked_texts(texts: Any, side: Side) -> tuple[str, ...]:
    """Return texts as a tuple; every one holds something.

    Raises:
        kayak.InvalidTypeError: no sequence of strings.
        kayak.EncodingError: a text is empty, blank or no valid Unicode; its `position` says which.
    """
    if isinstance(texts, str):
        raise kayak.InvalidTypeError(f"{side} texts must be a sequence of strings, got the string {texts!r:.60}")
    try:
        given = tuple(texts)
    except TypeError:
        raise kayak.InvalidTypeError(
            f"{side} texts must be a sequence of strings, got {type(texts).__name__}"
        ) from None
    for position, text in enumerate(given):
        what = f"the {side}" if len(given) == 1 else f"{side} texts[{position}]"
        if not isinstance(text, str):
            raise kayak.InvalidTypeError(f"{what} must be a string, got {type(text).__name__}")
        if problem := _problem(text):
            raise kayak.EncodingError(f"{what} {problem}", position=position)
    return given


def length_sorted_batches(lengths: Sequence[int], size: int, most_tokens: int | None = None) -> Iterator[list[int]]:
    """Yield the positions of texts, longest first, at most `size` at a time.

    Texts of one batch are padded to the longest of them, so texts of similar length go together; the longest come
    first, so that memory that does not suffice shows at once. Where `most_tokens` is given, tokens are what costs: the
    batches then are those of least work, small where lengths differ and padding would cost more than another pass.

    Args:
        lengths: tokens of each text, as many as the model reads.
        size: most texts of a batch.
        most_tokens: most tokens of a batch, padding included, where it holds more than one text; None makes every
            batch as large as `size` allows.
    """
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    if most_tokens is None:
        starts = list(range(0, len(order), size))
    else:
        starts = _least_work(np.array([lengths[position] for position in order], dtype=np.int64), size, most_tokens)
    for start, end in pairwise([*starts, len(order)]):
        yield order[start:end]


def _least_work(descending: npt.NDArray[np.int64], size: int, most_tokens: int) -> list[int]:
    """Return where to begin each batch so that tokens, padding and passes together cost least (dynamic programming)."""
    count = len(descending)
    work = np.zeros(count + 1, dtype=np.int64)  # of the texts before each position
    begins = np.zeros(count + 1, dtype=np.int64)  # of the batch that ends there
    for end in range(1, count + 1):
        starts = np.arange(max(0, end - size), end)
        padded = (end - starts) * descending[starts]
        fits = padded <= most_tokens
        fits[-1] = True  # one text alone always goes
        starts, padded = starts[fits], padded[fits]
        costs = work[starts] + padded + PASS_TOKENS
        least = int(np.argmin(costs))
        work[end], begins[end] = costs[least], starts[least]
    found: list[int] = []
    end = count
    while end:
        end = int(begins[end])
        found.append(end)
    return found[::-1]


def _problem(text: str) -> str | None:
    if not text.strip():
        return f"is empty ({text!r:.20}), and there is nothing to encode; leave it out, or give it a text"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"is no valid Unicode (character {error.start} is half of a surrogate pair); read it with its encoding"
    return None
