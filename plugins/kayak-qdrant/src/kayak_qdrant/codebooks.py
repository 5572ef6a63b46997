"""The codebook of a collection's postings, in a small collection of its own."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import kayak
from qdrant_client import models

from kayak_qdrant.connection import LONGEST_NAME, Connection
from kayak_qdrant.errors import status_of
from kayak_qdrant.reading import field_is, scrolled
from kayak_qdrant.schema import TERMS_NAME, exists_already, inspect_collection

_CODEBOOK_SUFFIX = "-kayak-codebook"
_PART_BYTES = 4 << 20
_CURRENT = str(uuid.uuid5(uuid.NAMESPACE_URL, "kayak-qdrant/current-codebook"))
_ATTEMPTS = 3


class Codebooks:
    """The codebook of one collection, in a collection of its own.

    Its bytes lie in points that are named by the codebook's identity; one further point says which codebook is current.

    Args:
        connection: the client and the collection of documents.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._name = connection.collection_name + _CODEBOOK_SUFFIX

    def identity(self) -> str | None:
        """Return the identity of the current codebook, or None where there is none."""
        found = self._retrieve([_CURRENT])
        return str(found[0]["identity"]) if found else None

    def read(self) -> kayak.Codebook | None:
        """Return the current codebook, or None.

        Raises:
            StoreCorruptError: parts of it are missing or damaged.
        """
        identity = self.identity()
        for _ in range(_ATTEMPTS):
            if identity is None:
                return None
            parts = sorted(self._parts(identity), key=lambda part: int(part["number"]))
            now = self.identity()
            if now == identity:
                data = b"".join(base64.b64decode(part["data"]) for part in parts)
                return kayak.Codebook.from_bytes(data, identity, place=self._place)
            identity = now
        raise kayak.StoreBusyError(f"the codebook of {self._place} was replaced {_ATTEMPTS} times while it was read")

    def write(self, codebook: kayak.Codebook) -> None:
        """Make a codebook the current one: its parts first, then the point that names it.

        Raises:
            StoreSchemaError: the collection of documents cannot keep terms.
        """
        self._require_terms()
        if not self._exists():
            with self._connection.request():
                try:
                    self._connection.client.create_collection(self._name, vectors_config={})
                except Exception as error:
                    if not exists_already(error):
                        raise
        starts = range(0, len(codebook.data), _PART_BYTES)
        parts = [
            models.PointStruct(
                id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{codebook.identity}/{number}")),
                vector={},
                payload={
                    "of": codebook.identity,
                    "number": number,
                    "data": base64.b64encode(codebook.data[start : start + _PART_BYTES]).decode(),
                },
            )
            for number, start in enumerate(starts)
        ]
        current = models.PointStruct(id=_CURRENT, vector={}, payload={"identity": codebook.identity})
        with self._connection.request():
            for point in (*parts, current):
                self._connection.client.upsert(self._name, [point], wait=True, ordering=models.WriteOrdering.STRONG)
            others = models.Filter(
                must_not=[field_is("of", codebook.identity), models.HasIdCondition(has_id=[_CURRENT])]
            )
            self._connection.client.delete(self._name, models.FilterSelector(filter=others), wait=True)

    @property
    def _place(self) -> str:
        return f"collection {self._connection.collection_name!r} of {self._connection.place}"

    def _require_terms(self) -> None:
        state = inspect_collection(self._connection)
        if state is None or not state.keeps_terms:
            raise kayak.StoreSchemaError(
                f"{self._place} has no sparse vectors named {TERMS_NAME!r}, which Kayak's own collections have from "
                "the start; copy the documents into a new collection with kayak.copy_store"
            )
        if len(self._name.encode()) > LONGEST_NAME:
            raise kayak.InvalidInputError(
                f"the codebook of {self._place} needs a collection named {self._name!r:.300}, but Qdrant takes at most "
                f"{LONGEST_NAME} bytes; use a shorter collection_name"
            )

    def _exists(self) -> bool:
        with self._connection.request():
            return self._connection.client.collection_exists(self._name)

    def _retrieve(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        with self._connection.request():
            if self._connection.is_local and not self._exists():
                return []
            try:
                records = self._connection.client.retrieve(self._name, ids, with_payload=True)
            except Exception as error:
                if status_of(error) != "NOT_FOUND":
                    raise
                return []
        return [record.payload or {} for record in records]

    def _parts(self, identity: str) -> Iterator[dict[str, Any]]:
        selection = models.Filter(must=[field_is("of", identity)])
        for records in scrolled(self._connection, selection, True, self._name, page=1):
            yield from (record.payload or {} for record in records)
