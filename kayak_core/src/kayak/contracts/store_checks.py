"""What stores refuse, and the errors that say so."""

from __future__ import annotations

from kayak.errors import (
    CodebookMismatchError,
    EmptySelectionError,
    InvalidInputError,
    InvalidTypeError,
    StoreClosedError,
)
from kayak.typing import DocIdsInput, MetadataFilterInput
from kayak.values import LateDocuments
from kayak.values.coerce import is_encodable, string_tuple


def checked_fingerprint(fingerprint: str) -> str:
    """Return an encoder's fingerprint if it can be stored.

    Raises:
        InvalidTypeError: not a string.
        InvalidInputError: not UTF-8.
    """
    if not isinstance(fingerprint, str):
        raise InvalidTypeError(f"a fingerprint is a string, got {type(fingerprint).__name__}")
    if not is_encodable(fingerprint):
        raise InvalidInputError("the fingerprint holds a lone surrogate and cannot be stored as UTF-8")
    return fingerprint


def deletable_ids(doc_ids: DocIdsInput) -> tuple[str, ...]:
    """Return the distinct ids that a store may hold: one with a lone surrogate is in none, as none takes it.

    Raises:
        InvalidTypeError: ids that are not strings.
    """
    return tuple(filter(is_encodable, dict.fromkeys(string_tuple(doc_ids, "doc_ids"))))


def dimension_error(documents: LateDocuments, known: int) -> InvalidInputError:
    """Describe an upsert of vectors whose dimension differs from the store's."""
    return InvalidInputError(
        f"document {documents.doc_ids[0]!r} has vectors of dimension {documents.vector_dim}, but the store holds "
        f"dimension {known}; one store holds one dimension: encode with the same encoder, or use another store"
    )


def empty_selection(kind: str, doc_ids: DocIdsInput | None, where: MetadataFilterInput) -> EmptySelectionError:
    """Describe a selection that matched no document."""
    if doc_ids is None and where is None:
        return EmptySelectionError(f"store {kind!r} holds no documents; upsert some first")
    given = " and ".join(
        ([] if doc_ids is None else [f"doc_ids ({len(doc_ids)} given)"])
        + ([] if where is None else [f"where={where!r:.200}"])
    )
    return EmptySelectionError(f"no document of store {kind!r} is selected by {given}")


def closed_error(kind: str) -> StoreClosedError:
    """Describe the use of a closed store."""
    return StoreClosedError(f"store {kind!r} is closed; open it again with kayak.open_store")


def codebook_mismatch(kind: str, held: str | None, given: str) -> CodebookMismatchError:
    """Describe the use of a codebook that is not the store's."""
    has = "has no codebook" if held is None else f"has codebook {held[:12]}"
    return CodebookMismatchError(
        f"store {kind!r} {has}, but codebook {given[:12]} was given; somebody may have replaced it meanwhile: read the "
        "store's codebook and start over"
    )
