"""What Kayak finds through the entry point; Chroma itself is imported when a store is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING

import kayak

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

    from kayak_chromadb.store import ChromaLateStore

DEFAULT_COLLECTION = "late_documents"


def open_chroma_store(
    *,
    client: ClientAPI | None = None,
    path: str | PathLike[str] | None = None,
    host: str | None = None,
    port: int | None = None,
    ssl: bool = False,
    headers: Mapping[str, str] | None = None,
    tenant: str | None = None,
    database: str | None = None,
    collection_name: str = DEFAULT_COLLECTION,
    create: bool = True,
) -> ChromaLateStore:
    """Open a store in one Chroma collection. Give exactly one of `client`, `path` and `host`.

    Args:
        client: a Chroma client of your own; it is never closed.
        path: the folder of an embedded Chroma, or ":memory:" for a store that ends when it is closed. One process at
            a time may have a folder open.
        host: the host name of a Chroma server.
        port: its port; 8000 unless given, 443 with `ssl`.
        ssl: whether the server speaks TLS.
        headers: sent with every request, for example `{"x-chroma-token": "…"}`.
        tenant: Chroma's tenant; its default unless given.
        database: Chroma's database within the tenant; its default unless given.
        collection_name: 3 to 512 characters from `[a-zA-Z0-9._-]`.
        create: whether to create the collection where it does not exist.

    Raises:
        InvalidInputError: a combination of arguments that says nothing or two things, or a malformed name.
        StoreUnavailableError: the server does not answer.
        StoreAccessError: the server refuses the credentials, or the folder cannot be written.
        StoreBusyError: another process has the folder open.
        StorePathError: `path` cannot be a folder.
        StoreSchemaError: the collection was not made by Kayak, or is missing and `create` is False.
        StoreVersionError: a later version of this package made it.
    """
    from kayak_chromadb.connection import connect
    from kayak_chromadb.store import ChromaLateStore

    connection = connect(
        client=client,
        path=path,
        host=host,
        port=port,
        ssl=ssl,
        headers=headers,
        tenant=tenant,
        database=database,
    )
    return ChromaLateStore(connection, collection_name=collection_name, create=create)


@kayak.hookimpl
def kayak_stores() -> Iterator[kayak.StoreSpec]:
    """Provide the store kind `chromadb`."""
    yield kayak.StoreSpec(
        name="chromadb",
        aliases=("chroma",),
        factory=open_chroma_store,
        summary="Chroma: a folder, a server or your own client; candidates by pooled-vector ANN",
        requirements=("chromadb>=1.5.9,<2",),
    )
