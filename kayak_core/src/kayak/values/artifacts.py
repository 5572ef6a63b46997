"""Structures derived from a corpus that a store keeps beside it, such as inverted lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import attrs
import numpy.typing as npt

from kayak.typing import Int64Vector


@attrs.frozen(eq=False)
class ArtifactPart:
    """One immutable piece of an artifact: arrays, and facts about them.

    Attributes:
        facts: JSON values, for example a version and parameters.
        arrays: arrays of numbers by name; read-only memory maps where a store returned the part.
        file: names the stored piece; None for one that is not stored yet.
    """

    facts: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]
    file: str | None = None


class ArtifactShelf(Protocol):
    """The artifacts of one store, by name. Each is a sequence of parts that changes as a whole."""

    def names(self) -> tuple[str, ...]:
        """Return the names of the artifacts, sorted."""

    def read(self, name: str) -> tuple[ArtifactPart, ...]:
        """Return the parts of an artifact, in order; none where there is no such artifact.

        Raises:
            StoreCorruptError: stored bytes do not match their checksum.
            StoreClosedError: the store is closed.
        """

    def write(self, name: str, parts: Sequence[ArtifactPart], *, seen: Sequence[ArtifactPart] | None = ()) -> None:
        """Make these the parts of an artifact, all or nothing; durable on return. No parts remove it.

        Parts that `read` returned are kept as they are; the cost is that of the new ones.

        Args:
            name: names the artifact.
            parts: what it shall consist of.
            seen: the parts that the caller has read: the write is refused if others are stored by now. None replaces
                whatever is stored, damaged parts too.

        Raises:
            InvalidInputError: a malformed name, or facts that are no JSON.
            StoreBusyError: somebody else has changed the artifact meanwhile, or held the store for too long.
            UnsupportedOperationError: the store is read-only.
            StoreError: the store cannot be written.
        """


@runtime_checkable
class KeepsArtifacts(Protocol):
    """A store that keeps artifacts; optional, asked for with `isinstance`."""

    @property
    def artifacts(self) -> ArtifactShelf:
        """The store's artifacts."""


@attrs.frozen(eq=False)
class IndexOrigin:
    """Where the documents of an index are stored, for artifacts that are kept beside them.

    Attributes:
        document_keys: int64, one a document: unique in the store, and another one whenever the document's vectors
            change, so an artifact that names documents by key never speaks of vectors that are gone.
        artifacts: the store's artifacts.
    """

    document_keys: Int64Vector
    artifacts: ArtifactShelf

    def take(self, numbers: Int64Vector) -> IndexOrigin:
        """Return the origin of some of the documents."""
        return IndexOrigin(self.document_keys[numbers], self.artifacts)
