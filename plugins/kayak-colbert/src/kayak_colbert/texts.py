"""Texts as they come in: checked, and put into batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import kayak

Side = Literal["query", "document"]
"""Which half of a late-interaction model encodes a text."""


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

    Texts of one batch are padded to the longest of them, so batches of similar length waste least; the longest come
    first, so that memory that does not suffice shows at once.

    Args:
        lengths: tokens of each text, as many as the model reads.
        size: most texts of a batch.
        most_tokens: most tokens of a batch, padding included, where it holds more than one text.
    """
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    start = 0
    while start < len(order):
        fit = size if most_tokens is None else min(size, max(1, most_tokens // max(1, lengths[order[start]])))
        yield order[start : start + fit]
        start += fit


def _problem(text: str) -> str | None:
    if not text.strip():
        return f"is empty ({text!r:.20}), and there is nothing to encode; leave it out, or give it a text"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"is no valid Unicode (character {error.start} is half of a surrogate pair); read it with its encoding"
    return None
