"""The hook through which Kayak finds the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import kayak

if TYPE_CHECKING:
    from weaviate import WeaviateClient

    from kayak_weaviate.store import WeaviateLateStore


def open_weaviate_store(
    *,
    client: WeaviateClient | None = None,
    url: str | None = None,
    persistence_path: str | Path | None = None,
    collection_name: str = "LateDocument",
    vector_name: str = "colbert",
    muvera: bool | Mapping[str, int] | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    grpc_url: str | None = None,
    timeout: float = 60.0,
    consistency_level: Literal["ONE", "QUORUM", "ALL"] | None = None,
    port: int = 8079,
    grpc_port: int | None = None,
    server_version: str | None = None,
) -> WeaviateLateStore:
    """Open a store over a Weaviate collection, and create the collection where there is none.

    Give exactly one of `client`, `url` and `persistence_path`.

    Args:
        client: your own connected `weaviate.WeaviateClient`; the store never closes it.
        url: a server's address, for example "http://localhost:8080" or a Weaviate Cloud cluster's URL.
        persistence_path: a folder for an embedded server, which the client library downloads, starts and stops.
        collection_name: the collection, an upper-case letter followed by letters, digits and underscores.
        vector_name: name of the vector in the collection.
        muvera: how a new collection searches: None or False compares token vectors, True encodes each document into
            one vector with MUVERA, a mapping does so with these parameters ("ksim", "dprojections", "repetitions").
            An existing collection must agree; None agrees with either.
        api_key: key for a server that asks for one.
        headers: further headers of each request.
        grpc_url: address for gRPC where it is not the server's own host: "host:port", or "https://host:port" for TLS.
        timeout: seconds that one request may take.
        consistency_level: replicas that must answer, for a replicated collection; None leaves it to the server.
        port: port of the embedded server. Open a folder with the same port each time: the server's name depends on it.
        grpc_port: gRPC port of the server, 50051, or of the embedded server, 50050, unless given.
        server_version: version of the embedded server; None for the one that this package is written for.

    Raises:
        InvalidInputError: arguments that exclude one another, or are malformed.
        StoreUnavailableError: no server answers, or the embedded server cannot be had.
        StoreAccessError: the server refuses the key, or the right to create the collection.
        StoreSchemaError: a collection of that name exists and differs.
    """
    from kayak_weaviate.connection import Target, connect
    from kayak_weaviate.store import WeaviateLateStore

    target = Target(client, url, persistence_path, api_key, headers, grpc_url, timeout, port, grpc_port, server_version)
    connection = connect(target)
    try:
        return WeaviateLateStore(
            connection,
            collection_name=collection_name,
            vector_name=vector_name,
            muvera=muvera,
            consistency_level=consistency_level,
        )
    except BaseException:
        connection.close()
        raise


@kayak.hookimpl
def kayak_stores() -> Iterator[kayak.StoreSpec]:
    """Provide the store kind `weaviate`."""
    yield kayak.StoreSpec(
        name="weaviate",
        factory=open_weaviate_store,
        summary="a Weaviate collection: embedded, a server, or your own client",
        requirements=("weaviate-client>=4.23,<5",),
    )
