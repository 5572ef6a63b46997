"""The engines of `stores.py`: how Kayak's store is opened, and how the engine itself moves the same bytes fastest."""

from __future__ import annotations

import base64
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import kayak
import numpy as np
import numpy.typing as npt

RAW_BATCH = 1000


class EngineMissingError(Exception):
    """The engine cannot be measured here; the message says what is missing."""


@attrs.frozen(eq=False)
class Corpus:
    """Documents of equally many token vectors.

    Attributes:
        doc_ids: their ids.
        vectors: float32, one document below the other.
        tokens: vectors a document.
    """

    doc_ids: tuple[str, ...]
    vectors: npt.NDArray[np.float32]
    tokens: int

    def part(self, start: int, stop: int) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
        """Return ids and vectors, shape (documents, tokens, dimension), of a range of documents."""
        ids = self.doc_ids[start:stop]
        rows = self.vectors[start * self.tokens : (start + len(ids)) * self.tokens]
        return ids, rows.reshape(len(ids), self.tokens, -1)

    def parts(self) -> Iterator[tuple[tuple[str, ...], npt.NDArray[np.float32]]]:
        """Yield all documents, `RAW_BATCH` at a time."""
        for start in range(0, len(self.doc_ids), RAW_BATCH):
            yield self.part(start, start + RAW_BATCH)


class Engine(ABC):
    """One engine. `raw_write` and `raw_read` return seconds, and do not use Kayak."""

    name = ""
    kind = ""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        if self.kind not in kayak.available_store_kinds():
            raise EngineMissingError(f"`pip install kayak-{self.kind}`")
        self.folder = folder
        self.start(stack)

    def start(self, stack: ExitStack) -> None:  # noqa: B027 - an embedded engine needs nothing
        """Start what the engine needs."""

    @abstractmethod
    def open(self) -> kayak.LateStore:
        """Open Kayak's store."""

    def after_ingest(self, store: kayak.LateStore) -> None:  # noqa: B027 - optional
        """Build what the store's own search is recommended to have."""

    @abstractmethod
    def raw_write(self, corpus: Corpus) -> float:
        """Write the corpus in the engine's own way."""

    @abstractmethod
    def raw_read(self) -> float:
        """Read it back."""


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class Directory(Engine):
    """Kayak's own store, beside a raw write, and a raw read through the page cache."""

    name, kind = "kayak", "kayak"

    def open(self) -> kayak.LateStore:
        return kayak.open_store("kayak", path=self.folder / "store")

    def raw_write(self, corpus: Corpus) -> float:
        def write() -> None:
            with (self.folder / "raw").open("wb", buffering=0) as file:
                for _, matrices in corpus.parts():
                    file.write(matrices.data)
                    os.fsync(file.fileno())

        return _seconds(write)

    def raw_read(self) -> float:
        return _seconds((self.folder / "raw").read_bytes)


class LanceDB(Engine):
    """LanceDB: a table of Arrow batches, added; read as Arrow batches."""

    name, kind = "lancedb", "lancedb"

    def open(self) -> kayak.LateStore:
        return kayak.open_store("lancedb", path=self.folder / "store")

    def after_ingest(self, store: kayak.LateStore) -> None:
        store.compact()
        store.create_index()

    def raw_write(self, corpus: Corpus) -> float:
        import lancedb
        import pyarrow as pa

        dim = corpus.vectors.shape[1]
        schema = pa.schema([("id", pa.string()), ("tok", pa.list_(pa.list_(pa.float32(), dim)))])

        def batches() -> Iterator[pa.RecordBatch]:
            for ids, matrices in corpus.parts():
                rows = pa.FixedSizeListArray.from_arrays(pa.array(matrices.reshape(-1)), dim)
                offsets = np.arange(len(ids) + 1, dtype=np.int32) * corpus.tokens
                yield pa.record_batch([pa.array(ids), pa.ListArray.from_arrays(pa.array(offsets), rows)], schema=schema)

        def write() -> None:
            database = lancedb.connect(str(self.folder / "raw"))
            table = database.create_table("raw", schema=schema)
            for batch in batches():  # a version a batch, as upserts make them
                table.add(pa.Table.from_batches([batch]))

        return _seconds(write)

    def raw_read(self) -> float:
        import lancedb

        table = lancedb.connect(str(self.folder / "raw")).open_table("raw")
        return _seconds(table.to_arrow)


class Postgres(Engine):
    """PostgreSQL: binary COPY in and out, a transaction a batch."""

    name, kind = "pgvector", "pgvector"

    def start(self, stack: ExitStack) -> None:
        sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "kayak-pgvector" / "tests"))
        import pg_server

        try:
            self.url = stack.enter_context(pg_server.postgres_url())
        except pg_server.NoServerError as error:
            raise EngineMissingError(str(error)) from error

    def open(self) -> kayak.LateStore:
        return kayak.open_store("pgvector", dsn=self.url, table_name="kayak_bench")

    def raw_write(self, corpus: Corpus) -> float:
        import psycopg

        dim = corpus.vectors.shape[1]
        element = np.dtype([("len", ">i4"), ("dim", ">i2"), ("zero", ">i2"), ("values", ">f4", (dim,))])

        def write() -> None:
            with psycopg.connect(self.url) as connection:
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
                connection.execute(f"CREATE TABLE raw (id text PRIMARY KEY, tok vector({dim:d})[])")
                connection.execute("ALTER TABLE raw ALTER COLUMN tok SET STORAGE EXTERNAL")
                (oid,) = connection.execute("SELECT 'vector'::regtype::oid::int").fetchone()
                header = np.array([1, 0, oid, corpus.tokens, 1], dtype=">i4").tobytes()
                connection.commit()
                for ids, matrices in corpus.parts():
                    cells = np.zeros(matrices.shape[:2], dtype=element)
                    cells["len"], cells["dim"], cells["values"] = 4 + 4 * dim, dim, matrices
                    with connection.cursor().copy("COPY raw FROM STDIN (FORMAT binary)") as copy:
                        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
                        for doc_id, cell in zip(ids, cells, strict=True):
                            key, value = doc_id.encode(), header + cell.tobytes()
                            copy.write(
                                b"\0\2" + len(key).to_bytes(4) + key + len(value).to_bytes(4) + value
                            )  # fmt: skip
                        copy.write(b"\xff\xff")
                    connection.commit()

        return _seconds(write)

    def raw_read(self) -> float:
        import psycopg

        def read() -> None:
            with (
                psycopg.connect(self.url) as connection,
                connection.cursor().copy("COPY (SELECT id, tok FROM raw) TO STDOUT (FORMAT binary)") as copy,
            ):
                for _ in copy:
                    pass

        return _seconds(read)


class Qdrant(Engine):
    """Qdrant's local mode, or a server through gRPC: upserts of the client, and its scroll."""

    name, kind = "qdrant", "qdrant"

    def start(self, stack: ExitStack) -> None:
        self.url = os.environ.get("KAYAK_TEST_QDRANT_URL")
        from qdrant_client import QdrantClient

        self.client = QdrantClient(url=self.url, prefer_grpc=True) if self.url else QdrantClient(":memory:")
        stack.callback(self.client.close)

    def open(self) -> kayak.LateStore:
        return kayak.open_store("qdrant", client=self.client, collection_name="kayak_bench")

    def raw_write(self, corpus: Corpus) -> float:
        from qdrant_client import models

        self.client.create_collection(
            "raw",
            vectors_config={
                "tok": models.VectorParams(
                    size=corpus.vectors.shape[1],
                    distance=models.Distance.DOT,
                    hnsw_config=models.HnswConfigDiff(m=0),
                    multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
                )
            },
        )

        def write() -> None:
            number = 0
            for ids, matrices in corpus.parts():
                for start in range(0, len(ids), 100):
                    part = matrices[start : start + 100]
                    points = [
                        models.PointStruct(id=number + i, vector={"tok": rows.tolist()}, payload={"id": ids[start + i]})
                        for i, rows in enumerate(part)
                    ]
                    self.client.upsert("raw", points, wait=True)
                    number += len(part)

        return _seconds(write)

    def raw_read(self) -> float:
        def read() -> None:
            offset = None
            while True:
                _, offset = self.client.scroll("raw", limit=100, offset=offset, with_vectors=True)
                if offset is None:
                    return

        seconds = _seconds(read)
        self.client.delete_collection("raw")
        return seconds


class Chroma(Engine):
    """Chroma: `add` in the largest batches it takes, matrices as base64 beside one vector a document; `get`."""

    name, kind = "chromadb", "chromadb"

    def open(self) -> kayak.LateStore:
        return kayak.open_store("chromadb", path=self.folder / "store", collection_name="kayak_bench")

    def _raw(self) -> Any:
        import chromadb

        settings = chromadb.Settings(anonymized_telemetry=False)
        return chromadb.PersistentClient(str(self.folder / "raw"), settings=settings)

    def raw_write(self, corpus: Corpus) -> float:
        collection = self._raw().create_collection("raw", embedding_function=None)

        def write() -> None:
            for ids, matrices in corpus.parts():
                collection.add(
                    ids=list(ids),
                    embeddings=matrices.mean(axis=1),
                    uris=[base64.b64encode(matrix).decode() for matrix in matrices],
                )

        return _seconds(write)

    def raw_read(self) -> float:
        collection = self._raw().get_collection("raw", embedding_function=None)

        def read() -> None:
            for start in range(0, collection.count(), RAW_BATCH):
                found = collection.get(limit=RAW_BATCH, offset=start, include=["uris"])
                for text in found["uris"]:
                    base64.b64decode(text)

        return _seconds(read)


ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (Directory, LanceDB, Postgres, Qdrant, Chroma)}
