"""`WeaviateLateStore`: documents in a Weaviate collection, one object each, their token vectors as a multi-vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import kayak
import numpy as np
from weaviate.classes.config import ConsistencyLevel
from weaviate.classes.query import Filter, MetadataQuery, Metrics
from weaviate.exceptions import UnexpectedStatusCodeError

from kayak_weaviate.connection import Connection
from kayak_weaviate.errors import translated
from kayak_weaviate.filters import PUSHDOWN, both, has_term, translate
from kayak_weaviate.reading import Fields, ObjectReader
from kayak_weaviate.rows import DOC_ID, VECTOR_COUNT, as_documents, object_uuid, read_doc_id, read_matrix
from kayak_weaviate.rows import read_metadata_row as metadata_row
from kayak_weaviate.schema import Layout, describe, described_encoder
from kayak_weaviate.terms import HAS_METADATA, HAS_TEXT
from kayak_weaviate.writing import ObjectWriter

_ALREADY_EXISTS = 422


class WeaviateLateStore(kayak.DatabaseLateStore):
    """Keeps documents in one collection of a Weaviate server; open it with `kayak.open_store("weaviate", ...)`.

    Args:
        connection: the connected client.
        collection_name: the collection; created where it does not exist.
        vector_name: the multi-vector's name in it.
        muvera: how a new collection searches; see `kayak_weaviate.plugin.open_weaviate_store`.
        consistency_level: replicas that must answer, or None for the server's own choice.
    """

    kind: ClassVar[str] = "weaviate"

    def __init__(
        self,
        connection: Connection,
        *,
        collection_name: str = "LateDocument",
        vector_name: str = "colbert",
        muvera: bool | Mapping[str, int] | None = None,
        consistency_level: Literal["ONE", "QUORUM", "ALL"] | None = None,
    ) -> None:
        layout = Layout(collection_name, vector_name, muvera)
        level = _consistency_level(consistency_level)
        self._connection = connection
        self._vector_name = vector_name
        self._place = f"collection {collection_name!r} at {connection.place}"
        self._dim: int | None = None
        _ensure_collection(connection, layout, self._place)
        with translated("open", self._place):
            collection: Any = connection.client.collections.use(collection_name)
            self._collection = collection if level is None else collection.with_consistency_level(level)
        self._reader = ObjectReader(self._collection, vector_name, self._place)
        self._writer = ObjectWriter(self._collection, vector_name, self._place)

    def capabilities(self) -> kayak.StoreCapabilities:
        """Say what Weaviate adds: filters but for orderings, and candidates by approximate MaxSim."""
        return kayak.StoreCapabilities(
            self.kind,
            persistent=True,
            native_candidates="approximate",
            filter_pushdown=PUSHDOWN,
            atomic_upsert=False,
            stores_encoder_fingerprint=True,
        )

    def vector_dim(self) -> int | None:
        """Return the dimension of the stored vectors, read from one document the first time; None for none."""
        self._check_open()
        if self._dim is None:
            with translated("read the dimension", self._place):
                answer = self._collection.query.fetch_objects(
                    limit=1, include_vector=[self._vector_name], return_properties=[DOC_ID]
                )
            for found in answer.objects:
                self._dim = int(read_matrix(found, self._vector_name).shape[1])
        return self._dim

    def write_documents(self, rows: Sequence[kayak.StoredDocument]) -> None:
        """Insert or replace documents, each of them whole; a failing batch names what was written."""
        self._writer.write(rows)
        self._dim = int(rows[0].vectors.shape[1])

    def delete_documents(self, doc_ids: Sequence[str]) -> None:
        """Delete documents; unknown ids are ignored."""
        self._writer.delete(doc_ids)

    def read_batches(self, selection: kayak.StoreSelection) -> Iterator[kayak.LateDocuments]:
        """Yield documents in the order of their UUIDs, about 16 MiB a batch."""
        fields = Fields(texts=selection.texts, metadata=selection.metadata, vectors=True)
        for page in self._reader.pages(selection, fields):
            yield as_documents(page, self._vector_name, texts=selection.texts, metadata=selection.metadata)

    def read_metadata(self, selection: kayak.StoreSelection) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield id and metadata of the selected documents, without their vectors."""
        fields = Fields(texts=False, metadata=True, vectors=False)
        for page in self._reader.pages(selection, fields):
            for found in page:
                yield read_doc_id(found), metadata_row(found)

    def find_candidates(self, search: kayak.CandidateSearch) -> kayak.FoundCandidates:
        """Search by MaxSim inside Weaviate; the scores are MaxSim as Weaviate computes it in float32."""
        condition = translate(search.where)
        if search.doc_ids is not None:
            condition = both(Filter.by_id().contains_any(list(map(object_uuid, search.doc_ids))), condition)
        if condition == "none":
            return kayak.FoundCandidates((), ())
        with translated("search", self._place):
            answer = self._collection.query.near_vector(
                near_vector=search.vectors.tolist(),
                target_vector=self._vector_name,
                limit=search.k,
                filters=None if condition == "all" else condition,
                return_metadata=MetadataQuery(distance=True),
                return_properties=[DOC_ID],
            )
        # The distance is the negated sum of the largest dot products.
        scores = -np.array([found.metadata.distance for found in answer.objects], dtype=np.float32)
        order = np.argsort(-scores, kind="stable")
        ids = tuple(read_doc_id(answer.objects[number]) for number in order.tolist())
        nbytes = sum(len(doc_id.encode()) + 20 for doc_id in ids)  # with a UUID of 16 and a distance of 4 bytes each
        return kayak.FoundCandidates(ids, scores[order], bytes_read=nbytes)

    def stats(self) -> kayak.LateStoreStats:
        """Count what the collection holds, inside Weaviate."""
        self._check_open()
        with translated("count documents", self._place):
            totals = self._collection.aggregate.over_all(
                total_count=True, return_metrics=Metrics(VECTOR_COUNT).integer(sum_=True)
            )
        sums = totals.properties.get(VECTOR_COUNT)
        return kayak.LateStoreStats(
            self.kind,
            int(totals.total_count or 0),
            int(getattr(sums, "sum_", None) or 0),
            self.vector_dim(),
            has_texts=self._any_has(HAS_TEXT),
            has_metadata=self._any_has(HAS_METADATA),
            storage_byte_size=None,
            encoder_fingerprint=self.encoder_fingerprint(),
        )

    def encoder_fingerprint(self) -> str | None:
        """Return what encoded the documents, which the collection's description keeps."""
        self._check_open()
        with translated("read the description", self._place):
            return described_encoder(self._collection.config.get().description)

    def write_encoder_fingerprint(self, fingerprint: str) -> None:
        """Write down in the collection's description what encodes the documents."""
        with translated("write the description", self._place):
            self._collection.config.update(description=describe(fingerprint))

    def release(self) -> None:
        """Close the client, and with it an embedded server, unless the client is the user's."""
        self._connection.close()

    def _any_has(self, term: str) -> bool:
        with translated("count documents", self._place):
            answer = self._collection.query.fetch_objects(limit=1, filters=has_term(term), return_properties=[DOC_ID])
        return bool(answer.objects)


def _ensure_collection(connection: Connection, layout: Layout, place: str) -> None:
    """Create the collection, or refuse one that differs."""
    collections = connection.client.collections
    with translated("open", place):
        if not collections.exists(layout.collection_name):
            try:
                collections.create(**layout.creation())
            except UnexpectedStatusCodeError as error:
                # Another process may have created it in between; whether it is the same shows below.
                if error.status_code != _ALREADY_EXISTS or not collections.exists(layout.collection_name):
                    raise
        try:
            found = collections.use(layout.collection_name).config.get()
        except (AssertionError, KeyError, ValueError) as error:  # how the client fails on configurations it cannot read
            raise kayak.StoreSchemaError(
                f"{place} exists, but the installed weaviate-client cannot read its configuration ({error!r}); nothing "
                "was changed. Upgrade weaviate-client, or choose another collection_name"
            ) from error
    layout.require_equal(found, place)


def _consistency_level(level: object) -> ConsistencyLevel | None:
    if level is None:
        return None
    names = [each.value for each in ConsistencyLevel]
    if level not in names:
        raise kayak.InvalidInputError(f"consistency_level must be one of {', '.join(names)} or None, got {level!r}")
    return ConsistencyLevel(level)
