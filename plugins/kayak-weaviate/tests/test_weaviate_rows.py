"""Documents become Weaviate objects and come back to the bit; what Kayak did not write is named."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import kayak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kayak.testing.strategies import doc_ids, metadata_rows, token_matrices
from kayak_weaviate.rows import as_documents, data_object, object_uuid, read_doc_id
from kayak_weaviate.writing import LARGEST_DOCUMENT, ObjectWriter, Outcome, require_written
from weaviate.collections.batch.grpc_batch import _BatchGRPC
from weaviate.collections.classes.batch import _BatchObject
from weaviate.collections.grpc.shared import _Unpack
from weaviate.exceptions import WeaviateConnectionError
from weaviate.util import _ServerVersion

PLACE = "collection 'LateDocument' at http://localhost:8080"
TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def over_the_wire(document: kayak.StoredDocument) -> Any:
    """Return what the client library makes of an object: packed as it is sent, and read as it would come back."""
    sent = data_object(document, "colbert")
    message = _BatchGRPC(_ServerVersion(1, 39, 8), None, None).grpc_object(
        _BatchObject(
            collection="LateDocument",
            vector=sent.vector,
            uuid=str(sent.uuid),
            properties=sent.properties,
            tenant=None,
            references=None,
            index=0,
        )
    )
    received = type(message).FromString(message.SerializeToString())
    (vector,) = received.vectors
    properties = dict(received.properties.non_ref_properties.items())
    properties.update({each.prop_name: list(each.values) for each in received.properties.text_array_properties})
    return SimpleNamespace(
        uuid=UUID(received.uuid), properties=properties, vector={vector.name: _Unpack.multi(vector.vector_bytes)}
    )


@settings(max_examples=150, deadline=None)
@given(doc_ids(), token_matrices(dim=5, magnitude=1e38), TEXTS, metadata_rows())
def test_documents_come_back(doc_id: str, vectors: Any, text: str | None, metadata: dict[str, Any]) -> None:
    found = over_the_wire(kayak.StoredDocument(doc_id, vectors, text, metadata))
    batch = as_documents([found], "colbert", texts=True, metadata=True)
    assert batch.doc_ids == (doc_id,)
    assert batch.texts == (None if text is None else (text,))
    assert repr(batch.metadata) == repr((metadata,))
    assert batch.block.vectors.dtype == np.float32
    assert batch.block.vectors.tobytes() == vectors.tobytes()
    assert not batch.block.vectors.flags.writeable


def test_batches_carry_what_was_asked_for() -> None:
    rows = [kayak.StoredDocument(f"{n}", np.full((n + 1, 2), n, np.float32), "x" if n else None) for n in range(3)]
    batch = as_documents([over_the_wire(row) for row in rows], "colbert", texts=True, metadata=False)
    assert batch.block.offsets.tolist() == [0, 1, 3, 6]
    assert batch.texts == (None, "x", "x")
    assert batch.metadata is None
    bare = as_documents([over_the_wire(rows[0])], "colbert", texts=False, metadata=True)
    assert (bare.texts, bare.metadata) == (None, ({},))


@given(st.lists(doc_ids(), min_size=2, max_size=8, unique=True))
def test_ids_have_uuids_of_their_own(ids: list[str]) -> None:
    assert len({object_uuid(doc_id) for doc_id in ids}) == len(ids)
    assert all(object_uuid(doc_id).version == 5 for doc_id in ids)


def test_uuids_never_change() -> None:
    assert str(object_uuid("doc-1")) == "41b97e5b-74be-5c03-8678-01a713b59eeb"


def test_what_kayak_did_not_write_is_named() -> None:
    good = over_the_wire(kayak.StoredDocument("a", np.ones((1, 2), np.float32)))
    strangers: list[dict[str, Any]] = [
        {"properties": {"doc_id": "b"}},
        {"properties": {}},
        {"properties": {**good.properties, "metadata": "{"}},
        {"properties": {**good.properties, "metadata": "[]"}},
        {"properties": {**good.properties, "metadata": None}},
        {"vector": {}},
        {"vector": {"colbert": [1.0, 2.0]}},
    ]
    for changed in strangers:
        found = SimpleNamespace(**{**vars(good), **changed})
        with pytest.raises(kayak.StoreCorruptError, match=str(good.uuid)):
            as_documents([found], "colbert", texts=True, metadata=True)
    assert read_doc_id(good) == "a"


def test_a_document_that_fits_into_no_message_is_refused_before_anything_is_sent() -> None:
    small = kayak.StoredDocument("small", np.ones((1, 128), np.float32))
    rows = np.broadcast_to(np.ones((1, 128), np.float32), (LARGEST_DOCUMENT // 512 + 1, 128))
    large = kayak.StoredDocument("large", rows)
    unconnected: Any = None
    with pytest.raises(kayak.InvalidInputError, match="'large' has 100,"):
        ObjectWriter(unconnected, "colbert", PLACE).write([small, large])


def test_what_was_written_is_said_exactly() -> None:
    require_written([Outcome(("a", "b")), Outcome(("c",))], 3, PLACE)
    dropped = WeaviateConnectionError("reset by peer")
    with pytest.raises(
        kayak.StoreWriteError, match=r"2 of 4 documents.*writing the same batch again.*does not"
    ) as caught:
        require_written([Outcome(("a", "b")), Outcome(failure=dropped), Outcome()], 4, PLACE)
    assert caught.value.written_doc_ids == ("a", "b")
    assert caught.value.__cause__ is dropped
    with pytest.raises(kayak.StoreUnavailableError, match="does not answer"):
        require_written([Outcome(failure=dropped)], 1, PLACE)


def test_refused_documents_are_named() -> None:
    refused = (("b", "new node has a vector with length 5. Existing nodes have vectors with length 4"),)
    with pytest.raises(kayak.StoreWriteError, match=r"refused 1, the first of them 'b'.*keeps the dimension") as caught:
        require_written([Outcome(("a",), refused)], 2, PLACE)
    assert caught.value.written_doc_ids == ("a",)
    with pytest.raises(kayak.StoreAccessError, match="disk is nearly full"):
        require_written([Outcome(refused=(("a", "store is read-only"),))], 1, PLACE)
