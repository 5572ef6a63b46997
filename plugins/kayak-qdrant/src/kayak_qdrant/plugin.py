"""The hook through which Kayak finds the store."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING

import kayak

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from kayak_qdrant.store import QdrantLateStore


def open_qdrant_store(
    *,
    client: QdrantClient | None = None,
    path: str | PathLike[str] | None = None,
    url: str | None = None,
    collection_name: str = "late_documents",
    api_key: str | None = None,
    prefer_grpc: bool = True,
    grpc_port: int = 6334,
    timeout: int = 60,
) -> QdrantLateStore:
    """Open a store over one Qdrant collection; give exactly one of `client`, `path` and `url`.

    Args:
        client: your own `QdrantClient`, local or remote; closing the store leaves it open.
        path: folder of Qdrant's in-process mode, created if missing, or ":memory:".
        url: address of a Qdrant server, for example "http://localhost:6333".
        collection_name: the collection; created by the first upsert.
        api_key: sent to the server at `url`.
        prefer_grpc: whether documents travel to and from the server at `url` by gRPC, which is several times faster
            than HTTP.
        grpc_port: the server's gRPC port.
        timeout: seconds that one request to the server at `url` may take, ≥ 1.

    Raises:
        InvalidInputError: none or several of `client`, `path` and `url`, or a malformed argument.
        StoreBusyError: another client has opened the folder.
        StorePathError: the folder cannot be used.
        StoreUnavailableError: the server does not answer.
        StoreAccessError: the server refuses the key.
        StoreVersionError: the server, or what it holds, is of a version that cannot be used.
        StoreSchemaError: the collection exists and is not one that Kayak made.
    """
    from kayak_qdrant.connection import connect
    from kayak_qdrant.store import QdrantLateStore

    connection = connect(
        client=client,
        path=path,
        url=url,
        collection_name=collection_name,
        api_key=api_key,
        prefer_grpc=prefer_grpc,
        grpc_port=grpc_port,
        timeout=timeout,
    )
    return QdrantLateStore(connection)


@kayak.hookimpl
def kayak_stores() -> Iterator[kayak.StoreSpec]:
    """Provide `qdrant`."""
    yield kayak.StoreSpec(
        name="qdrant",
        factory=open_qdrant_store,
        summary="multivectors in Qdrant, in process or on a server; exact native MaxSim",
        requirements=("qdrant-client>=1.20",),
    )
