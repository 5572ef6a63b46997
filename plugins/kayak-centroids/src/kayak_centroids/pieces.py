"""Structures stored in pieces: each tells of some documents, which it names by their keys in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from kayak.typing import Int64Vector

BoolVector = npt.NDArray[np.bool_]


class Piece(Protocol):
    """Part of a stored structure."""

    @property
    def keys(self) -> Int64Vector:
        """The int64 key of each of its documents, see `kayak.IndexOrigin`."""


P = TypeVar("P", bound=Piece)


class KeyPlaces:
    """Finds documents of an index by their keys.

    Args:
        keys: int64, one a document of the index.
    """

    def __init__(self, keys: Int64Vector) -> None:
        self._order = np.argsort(keys, kind="stable")
        self._ordered = keys[self._order]

    def rows(self, keys: Int64Vector) -> Int64Vector:
        """Return the number in the index of each key's document, -1 for one that is not in the index."""
        place = np.minimum(np.searchsorted(self._ordered, keys), len(self._ordered) - 1)
        return np.where(self._ordered[place] == keys, self._order[place], -1)


def merged_pieces(
    pieces: Sequence[P], live: Sequence[BoolVector], joined: Callable[[Sequence[P], Sequence[BoolVector]], P]
) -> tuple[P, ...]:
    """Merge small pieces into their neighbours, and leave out documents that are gone from those that are touched.

    Pieces are merged from the newest on while the older one is at most twice as long, so that a corpus of n documents
    has some log n of them, and each document is rewritten some log n times. Pieces of which more than half is gone are
    rewritten too.

    Args:
        pieces: the oldest first.
        live: for each piece, which of its documents are still there.
        joined: makes one piece of several, of the documents that are still there.
    """
    done: list[tuple[P, BoolVector]] = []

    def together(some: Sequence[tuple[P, BoolVector]]) -> tuple[P, BoolVector]:
        made = joined([piece for piece, _ in some], [there for _, there in some])
        return made, np.ones(len(made.keys), dtype=np.bool_)

    for each, there in zip(pieces, live, strict=True):
        done.append(together([(each, there)]) if 2 * int(there.sum()) < len(there) else (each, there))
    while len(done) > 1 and len(done[-2][1]) <= 2 * len(done[-1][1]):
        done[-2:] = [together(done[-2:])]
    return tuple(each for each, _ in done if len(each.keys))
