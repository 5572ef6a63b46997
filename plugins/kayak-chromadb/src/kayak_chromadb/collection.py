"""The Chroma collection of a store: created, recognised, or refused."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Literal

import kayak
from chromadb.api import ClientAPI
from chromadb.api.collection_configuration import CreateCollectionConfiguration, CreateHNSWConfiguration
from chromadb.api.models.Collection import Collection
from chromadb.errors import NotFoundError

from kayak_chromadb.errors import chroma_calls

FORMAT_KEY = "kayak:format"
FORMAT = 1
FINGERPRINT_KEY = "kayak:encoder_fingerprint"
SPACE: Literal["ip"] = "ip"
_EF_CONSTRUCTION = 200
_EF_SEARCH = 500
"""Neighbours that a search keeps in view: with Chroma's 100, a window of hundreds of candidates would miss many."""


def open_collection(client: ClientAPI, place: str, name: str, *, create: bool, unique: bool) -> Collection:
    """Return the collection that a store keeps its documents in; with `unique`, one that no other store has.

    Raises:
        InvalidTypeError: the name is no string.
        InvalidInputError: Chroma refuses the name.
        StoreSchemaError: the collection was not made by Kayak, or is missing and shall not be created.
        StoreVersionError: its format is that of a later version.
    """
    if not isinstance(name, str):
        raise kayak.InvalidTypeError(f"collection_name is {name!r}, but must be a string")
    if unique:
        name = f"{name}-{uuid.uuid4().hex}"
    with chroma_calls(place):
        if create:
            collection = client.get_or_create_collection(
                name,
                metadata={FORMAT_KEY: FORMAT},
                configuration=CreateCollectionConfiguration(
                    hnsw=CreateHNSWConfiguration(space=SPACE, ef_construction=_EF_CONSTRUCTION, ef_search=_EF_SEARCH)
                ),
                embedding_function=None,
            )
        else:
            collection = _existing(client, place, name)
    _check(collection, place)
    return collection


def collection_metadata(client: ClientAPI, name: str) -> dict[str, Any]:
    """Return the metadata of the collection itself, as they are now."""
    return dict(client.get_collection(name, embedding_function=None).metadata or {})


def _existing(client: ClientAPI, place: str, name: str) -> Collection:
    try:
        return client.get_collection(name, embedding_function=None)
    except NotFoundError as error:
        names = ", ".join(sorted(collection.name for collection in client.list_collections(limit=20))) or "none"
        raise kayak.StoreSchemaError(
            f"{place} has no collection {name!r} (there are: {names}); correct collection_name=, or create it with "
            "create=True"
        ) from error


def _check(collection: Collection, place: str) -> None:
    """Refuse a collection that is not a store of ours."""
    title = f"collection {collection.name!r} of {place}"
    found = (collection.metadata or {}).get(FORMAT_KEY)
    if isinstance(found, int) and found > FORMAT:
        raise kayak.StoreVersionError(
            f"{title} has format {found}, but this version of kayak-chromadb reads format {FORMAT}; upgrade "
            "kayak-chromadb"
        )
    differences = []
    if found != FORMAT:
        differences.append(f"its metadata have {FORMAT_KEY!r}: {found!r}, expected {FORMAT}")
    configuration: Mapping[str, Any] = collection.configuration_json
    space = (configuration.get("hnsw") or configuration.get("spann") or {}).get("space")
    if space != SPACE:
        differences.append(f"its distance is {space!r}, expected {SPACE!r}")
    if differences:
        raise kayak.StoreSchemaError(
            f"{title} was not made by Kayak: {'; '.join(differences)}. It is left as it is; choose another "
            "collection_name="
        )
