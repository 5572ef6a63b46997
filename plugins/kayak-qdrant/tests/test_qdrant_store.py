"""Opening, sharing, refusing, failing and resuming: what the conformance suite cannot know about Qdrant."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import httpx
import kayak
import numpy as np
import pytest
from kayak_qdrant import connection, errors, reading, store, transport, writing
from kayak_qdrant.multivectors import from_multivector, to_multivector
from kayak_qdrant.payloads import point_id
from kayak_qdrant.plugin import kayak_stores, open_qdrant_store
from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

NAME = "late_documents"


def batch(count: int = 3, *, dim: int = 4, tokens: int = 2, prefix: str = "d") -> kayak.LateDocuments:
    generator = np.random.default_rng(count)
    ids = [f"{prefix}{number}" for number in range(count)]
    return kayak.documents(ids, [generator.standard_normal((tokens, dim)) for _ in ids])


def ids_in(opened: kayak.LateStore) -> list[str]:
    return sorted(doc_id for part in opened.documents() for doc_id in part.doc_ids)


@pytest.fixture
def client():
    with_memory = QdrantClient(location=":memory:")
    yield with_memory
    with_memory.close()


# --- plugin -------------------------------------------------------------------------------------------------------


def test_listing_kinds_imports_no_client():
    code = """
        import sys
        from kayak_qdrant.plugin import kayak_stores
        (spec,) = kayak_stores()
        assert spec.name == "qdrant" and spec.requirements
        heavy = {"qdrant_client", "grpc", "httpx", "pydantic"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_the_hook_provides_the_kind():
    (spec,) = kayak_stores()
    with spec.factory(path=":memory:") as opened:
        assert opened.capabilities().kind == "qdrant" == opened.kind


# --- opening ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, kayak.InvalidInputError, "exactly one.*got none"),
        ({"path": "a", "url": "http://b"}, kayak.InvalidInputError, "got path and url"),
        ({"path": ":memory:", "api_key": "x"}, kayak.InvalidInputError, "api_key= belongs to url="),
        ({"path": 3}, kayak.InvalidTypeError, "path must be"),
        ({"url": 3}, kayak.InvalidTypeError, "url must be"),
        ({"url": "ftp://somewhere"}, kayak.StoreError, "ftp"),
        ({"client": object()}, kayak.InvalidTypeError, "QdrantClient, got object"),
        ({"path": ":memory:", "timeout": 0}, kayak.InvalidInputError, "at least 1, got 0"),
        ({"path": ":memory:", "timeout": True}, kayak.InvalidInputError, "got True"),
        ({"path": ":memory:", "timeout": 1.5}, kayak.InvalidInputError, "got 1.5"),
        ({"path": ":memory:", "collection_name": ""}, kayak.InvalidInputError, "''"),
        ({"path": ":memory:", "collection_name": ".."}, kayak.InvalidInputError, "cannot be used"),
        ({"path": ":memory:", "collection_name": "a/b"}, kayak.InvalidInputError, "a/b"),
        ({"path": ":memory:", "collection_name": "a\x00b"}, kayak.InvalidInputError, "control"),
        ({"path": ":memory:", "collection_name": "長" * 86}, kayak.InvalidInputError, "255 bytes"),
        ({"path": ":memory:", "collection_name": 5}, kayak.InvalidTypeError, "got int"),
    ],
)
def test_wrong_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        open_qdrant_store(**arguments)


def test_an_asynchronous_client_is_refused():
    with pytest.raises(kayak.InvalidTypeError, match="asynchronous"):
        open_qdrant_store(client=AsyncQdrantClient(location=":memory:"))


@pytest.mark.parametrize("name", ["'; DROP TABLE points; --", "with space", "長い名前", "%s", "-"])
def test_hostile_collection_names(tmp_path, name):
    for _ in range(2):
        with open_qdrant_store(path=tmp_path, collection_name=name) as opened:
            opened.upsert(batch())
            assert ids_in(opened) == ["d0", "d1", "d2"]


def test_collections_of_one_client_are_apart_and_the_client_stays_open(client):
    with open_qdrant_store(client=client, collection_name="a") as one:
        with open_qdrant_store(client=client, collection_name="b") as two:
            one.upsert(batch(2))
            two.upsert(batch(3, dim=8))
            assert (ids_in(one), two.stats().vector_dim) == (["d0", "d1"], 8)
        assert ids_in(one) == ["d0", "d1"]
    assert not one.capabilities().persistent
    assert client.count("b").count == 3
    with open_qdrant_store(client=client, collection_name="b") as again:
        assert len(ids_in(again)) == 3


def test_a_client_that_the_user_closed(tmp_path):
    mine = QdrantClient(path=str(tmp_path))
    opened = open_qdrant_store(client=mine)
    assert opened.capabilities().persistent
    opened.upsert(batch())
    mine.close()
    with pytest.raises(kayak.StoreError, match="closed"):
        opened.load_index()
    opened.close()


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the client forgets the lock file it cannot have
def test_a_folder_in_use_is_busy(tmp_path):
    with open_qdrant_store(path=tmp_path) as opened:
        opened.upsert(batch())
        with pytest.raises(kayak.StoreBusyError, match=r"another client.*client=.*url="):
            open_qdrant_store(path=tmp_path)
        gc.collect()
        code = f"""
            import kayak
            from kayak_qdrant.plugin import open_qdrant_store
            try:
                open_qdrant_store(path={str(tmp_path)!r})
            except kayak.StoreBusyError:
                print("busy")
        """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
        assert done.stdout == "busy\n"
        assert ids_in(opened) == ["d0", "d1", "d2"]
    with open_qdrant_store(path=tmp_path) as again:
        assert ids_in(again) == ["d0", "d1", "d2"]


def test_a_folder_that_cannot_be_used(tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(kayak.StorePathError, match="file"):
        open_qdrant_store(path=file)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "meta.json").write_text('{"collections": ')
    with pytest.raises(kayak.StoreCorruptError, match="backup"):
        open_qdrant_store(path=tmp_path / "store")


def test_two_stores_over_one_client_take_turns(client):
    def insert(name: str) -> None:
        with open_qdrant_store(client=client) as opened:
            for number in range(10):
                opened.upsert(batch(3, prefix=f"{name}-{number}-"))
                assert {f"{name}-{number}-{n}" for n in range(3)} <= set(ids_in(opened))

    with ThreadPoolExecutor(4) as pool:
        for finished in [pool.submit(insert, name) for name in "abcd"]:
            finished.result()
    with open_qdrant_store(client=client) as opened:
        assert len(ids_in(opened)) == 120


def test_a_process_killed_while_it_writes_leaves_whole_documents(tmp_path):
    code = f"""
        import itertools
        import kayak, numpy as np
        from kayak_qdrant.plugin import open_qdrant_store
        opened = open_qdrant_store(path={str(tmp_path)!r})
        ids = [f"d{{n}}" for n in range(50)]
        for version in itertools.count(1):
            matrices = [np.full((1 + version % 5, 16), version) for _ in ids]
            texts = [f"{{version}}"] * len(ids)
            documents = kayak.documents(ids, matrices, texts=texts)
            opened.upsert(documents, metadata=[{{"version": version}}] * len(ids))
            print(version, flush=True)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(5)][-1]
        writer.kill()
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
    with open_qdrant_store(path=tmp_path) as again:
        (found,) = again.documents()
        assert sorted(found.doc_ids) == sorted(f"d{n}" for n in range(50))
        for matrix, text, row in zip(found.token_matrices, found.texts, found.metadata, strict=True):
            version = row["version"]
            assert acknowledged <= version <= acknowledged + 1
            assert text == f"{version}"
            np.testing.assert_array_equal(matrix, np.full((1 + version % 5, 16), version, np.float32))


# --- existing collections -----------------------------------------------------------------------------------------


def multivector(**changes: Any) -> models.VectorParams:
    max_sim = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    return models.VectorParams(**{"size": 4, "distance": models.Distance.DOT, "multivector_config": max_sim, **changes})


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (multivector(), "unnamed"),
        ({"other": multivector()}, "further vectors named 'other'.*no vectors named 'tokens'"),
        ({"tokens": multivector(), "more": multivector()}, "'more', which an upsert would delete"),
        ({"tokens": multivector(distance=models.Distance.COSINE)}, "distance Cosine, where Dot"),
        ({"tokens": multivector(multivector_config=None)}, "one vector a point"),
        ({"tokens": multivector(datatype=models.Datatype.FLOAT16)}, "stores float16, where float32"),
        (
            {"tokens": multivector(distance=models.Distance.EUCLID, datatype=models.Datatype.UINT8)},
            "Euclid.*uint8",
        ),
    ],
)
def test_collections_of_another_schema_are_refused_untouched(client, vectors, words):
    client.create_collection(NAME, vectors_config=vectors)
    before = client.get_collection(NAME)
    with pytest.raises(kayak.StoreSchemaError, match=words):
        open_qdrant_store(client=client)
    assert client.get_collection(NAME) == before


def test_points_of_somebody_else_are_refused_untouched(client):
    client.create_collection(NAME, vectors_config={"tokens": multivector()})
    client.upsert(NAME, [models.PointStruct(id=1, vector={"tokens": [[1.0] * 4]}, payload={})])
    with pytest.raises(kayak.StoreSchemaError, match="1 points that Kayak did not write"):
        open_qdrant_store(client=client)
    assert client.count(NAME).count == 1


def test_a_prepared_empty_collection_is_taken_over(client):
    client.create_collection(NAME, vectors_config={"tokens": multivector()}, metadata={"owner": "me"})
    with open_qdrant_store(client=client) as opened:
        assert (opened.vector_dim(), opened.stats().document_count) == (4, 0)
        with pytest.raises(kayak.InvalidInputError, match=r"\b5\b.*\b4\b"):
            opened.upsert(batch(dim=5))
        opened.upsert(batch())
    assert client.get_collection(NAME).config.metadata == {"owner": "me", "kayak_format": 1}
    with open_qdrant_store(client=client) as again:
        assert len(ids_in(again)) == 3


def test_a_newer_format_is_refused(client):
    client.create_collection(NAME, vectors_config={"tokens": multivector()}, metadata={"kayak_format": 2})
    with pytest.raises(kayak.StoreVersionError, match=r"format 2.*Upgrade"):
        open_qdrant_store(client=client)


def test_a_foreign_point_among_ours_is_named(client):
    with open_qdrant_store(client=client) as opened:
        opened.upsert(batch())
        client.upsert(NAME, [models.PointStruct(id=1, vector={"tokens": [[9.0] * 4]}, payload={"vector_count": 1})])
        for use in (opened.load_index, lambda: opened.search_candidates(kayak.query([[1.0] * 4]), k=9)):
            with pytest.raises(kayak.StoreCorruptError, match="not written by Kayak"):
                use()


def test_a_document_without_vectors_is_named(client):
    with open_qdrant_store(client=client) as opened:
        opened.upsert(batch())
        client.delete_vectors(NAME, ["tokens"], [point_id("d1")])
        with pytest.raises(kayak.StoreCorruptError, match=r"'d1'.*no token vectors"):
            opened.load_index()


def test_a_collection_made_by_another_writer_in_between(client):
    with open_qdrant_store(client=client) as one, open_qdrant_store(client=client) as two:
        assert two.vector_dim() is None
        one.upsert(batch(2))
        two.upsert(batch(3, prefix="e"))
        assert ids_in(one) == ids_in(two) == ["d0", "d1", "e0", "e1", "e2"]


class Racing(QdrantClient):
    """Another writer creates, or deletes, the collection at the worst moment."""

    dim = 4
    deletes = False

    def create_collection(self, collection_name: str, **arguments: Any) -> bool:
        super().create_collection(
            collection_name, vectors_config={"tokens": multivector(size=self.dim)}, metadata={"kayak_format": 1}
        )
        if self.deletes:
            return super().delete_collection(collection_name)
        return super().create_collection(collection_name, **arguments)


@pytest.mark.parametrize(
    ("dim", "deletes", "words"), [(4, False, None), (8, False, "dimension 8"), (4, True, "deleted")]
)
def test_racing_to_create_the_collection(dim, deletes, words):
    racing = Racing(location=":memory:")
    racing.dim, racing.deletes = dim, deletes
    with open_qdrant_store(client=racing) as opened:
        if words is None:
            opened.upsert(batch())
            assert len(ids_in(opened)) == 3
        else:
            with pytest.raises(kayak.KayakError, match=words):
                opened.upsert(batch())
    racing.close()


def test_another_failure_to_create_is_reported():
    class Refusing(QdrantClient):
        def create_collection(self, collection_name: str, **arguments: Any) -> bool:
            raise ValueError("no room")

    refusing = Refusing(location=":memory:")
    with open_qdrant_store(client=refusing) as opened, pytest.raises(kayak.StoreError, match="no room"):
        opened.upsert(batch())
    refusing.close()


def test_a_collection_that_is_deleted_under_the_store(client):
    with open_qdrant_store(client=client) as opened:
        opened.upsert(batch())
        client.delete_collection(NAME)
        with pytest.raises(kayak.StoreError, match="not found"):
            opened.load_index()


# --- fingerprint, counts ------------------------------------------------------------------------------------------


def test_a_fingerprint_set_before_the_first_upsert_is_kept(tmp_path):
    with open_qdrant_store(path=tmp_path) as opened:
        opened.set_encoder_fingerprint("model")
        opened.upsert(batch())
    with open_qdrant_store(path=tmp_path) as again:
        assert again.encoder_fingerprint() == "model"
        assert ids_in(again) == ["d0", "d1", "d2"], "the fingerprint shows as a document"


def test_a_fingerprint_reaches_a_collection_that_another_writer_made(client):
    with open_qdrant_store(client=client) as one, open_qdrant_store(client=client) as two:
        two.set_encoder_fingerprint("model")
        one.upsert(batch())
        two.upsert(batch(1, prefix="e"))
        assert one.encoder_fingerprint() == "model"


def test_vectors_are_counted_where_a_facet_would_not_list_every_length(client, monkeypatch):
    monkeypatch.setattr(store, "_FACET_LIMIT", 2)
    with open_qdrant_store(client=client) as opened:
        for tokens in (1, 2, 3, 4):
            opened.upsert(batch(2, tokens=tokens, prefix=f"{tokens}-"))
        assert opened.stats().total_vector_count == 20


def test_many_candidates_are_bounded_by_what_is_there(loopback, monkeypatch):
    monkeypatch.setattr(reading, "_LARGE_K", 2)
    with open_qdrant_store(**loopback.arguments()) as opened:
        opened.upsert(batch(5), metadata=[{"n": number} for number in range(5)])
        query = kayak.query([[1.0] * 4])
        assert len(opened.search_candidates(query, k=10**15).hits) == 5
        assert len(opened.search_candidates(query, k=10**15, where={"n": {"$lt": 2}}).hits) == 2
        assert opened.search_candidates(query, k=10**15, where={"n": 7}).hits == ()
    assert all(params is not None and params.exact for params in loopback.search_params)


def test_part_of_a_filter_in_the_client_is_noted(client):
    with open_qdrant_store(client=client) as opened:
        opened.upsert(batch(6), metadata=[{"n": n, "s": f"{n}"} for n in range(6)])
        found = opened.search_candidates(kayak.query([[1.0] * 4]), k=2, where={"n": {"$lt": 4}, "s": {"$gte": "3"}})
        assert found.candidate_doc_ids == ("d3",)
        assert "'$gte': '3'" in found.profile.notes[0]
        assert "$lt" not in found.profile.notes[0]
        assert opened.search_candidates(kayak.query([[1.0] * 4]), k=2, where={"n": 1}).profile.notes == ()


# --- servers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefer_grpc", [True, False])
def test_a_server_that_is_down(prefer_grpc):
    with pytest.raises(kayak.StoreUnavailableError, match=r"127\.0\.0\.1:1 does not answer.*prefer_grpc") as caught:
        open_qdrant_store(url="http://127.0.0.1:1", grpc_port=1, prefer_grpc=prefer_grpc, timeout=5)
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.__cause__ is not None


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_wrong_key(loopback):
    loopback.api_key = "right"
    for key in (None, "wrong"):
        with pytest.raises(kayak.StoreAccessError, match="api_key="):
            open_qdrant_store(**loopback.arguments(api_key=key))
    with open_qdrant_store(**loopback.arguments(api_key="right")) as opened:
        opened.upsert(batch())
        assert len(ids_in(opened)) == 3
        loopback.api_key = "changed"
        with pytest.raises(kayak.StoreAccessError):
            opened.load_index()


def test_a_server_that_is_too_old(loopback, monkeypatch):
    monkeypatch.setattr(connection, "_OLDEST_SERVER", (99, 0))
    with pytest.raises(kayak.StoreVersionError, match=r"needs 99\.0 or newer"):
        open_qdrant_store(**loopback.arguments())


def test_a_connection_that_drops_in_the_middle_of_a_batch(loopback, monkeypatch):
    monkeypatch.setattr(transport.GrpcTransport, "batch_bytes", 100)
    documents = batch(10)  # two a request
    with open_qdrant_store(**loopback.arguments()) as opened:
        loopback.failures = [(2, grpc.StatusCode.UNAVAILABLE), (2, grpc.StatusCode.PERMISSION_DENIED)]
        with pytest.raises(kayak.StoreWriteError, match=r"4 of 10.*'d4' to 'd5'.*whole batch again") as caught:
            opened.upsert(documents)
        assert caught.value.written_doc_ids == tuple(f"d{n}" for n in range(4)) == tuple(ids_in(opened))
        assert isinstance(caught.value.__cause__, kayak.StoreUnavailableError)
        with pytest.raises(kayak.StoreAccessError):  # the first request of the batch: nothing of it was written
            opened.upsert(batch(2, prefix="e"))
        opened.upsert(documents)
        assert ids_in(opened) == sorted(documents.doc_ids)
        found = opened.load_index(doc_ids=documents.doc_ids)
        np.testing.assert_array_equal(found.as_packed_token_matrix(), documents.block.vectors)


def test_a_server_that_stops_and_comes_back(loopback):
    with open_qdrant_store(**loopback.arguments()) as opened:
        opened.upsert(batch())
        loopback.failures = [(0, grpc.StatusCode.UNAVAILABLE)]
        with pytest.raises(kayak.StoreUnavailableError):
            opened.upsert(batch())
        opened.upsert(batch())
        assert len(ids_in(opened)) == 3


def test_requests_stay_within_bounds(loopback, monkeypatch):
    monkeypatch.setattr(transport.GrpcTransport, "batch_bytes", 1 << 20)
    monkeypatch.setattr(reading, "_BATCH_BYTES", 1 << 20)
    documents = batch(60, tokens=100, dim=128)  # 51 kB each
    with open_qdrant_store(**loopback.arguments()) as opened:
        opened.upsert(documents)
        assert len(loopback.upsert_sizes) == 3
        assert max(loopback.upsert_sizes) < 1.1 * transport.GrpcTransport.batch_bytes
        sizes = [part.block.vectors.nbytes for part in opened.read_batches(kayak.StoreSelection())]
        assert max(sizes[1:]) <= reading._BATCH_BYTES
        assert sum(sizes) == documents.block.vectors.nbytes


def test_a_document_that_is_larger_than_a_multivector(loopback):
    large = kayak.documents(["a", "b"], [np.ones((1, 256)), np.ones((writing.LARGEST_MULTIVECTOR // 256 + 1, 256))])
    with open_qdrant_store(**loopback.arguments()) as opened:
        with pytest.raises(kayak.InvalidInputError, match=r"'b' has 4097 vectors.*at most 4096"):
            opened.upsert(large)
        assert opened.stats().document_count == 0
    with open_qdrant_store(path=":memory:") as local:
        local.upsert(large)
        assert local.stats().total_vector_count == 4098


def test_payload_indexes_are_made_on_servers(loopback, monkeypatch):
    monkeypatch.setattr(writing, "_MOST_NUMBER_INDEXES", 2)
    with open_qdrant_store(**loopback.arguments()) as opened:
        opened.upsert(batch(2), metadata=[{"year": 1960, "topic": "wings"}, {"a.b": 0.5}])
        opened.upsert(batch(2), metadata=[{"year": 1960, "more": 1}, {"flag": True}])
        assert opened.stats().total_vector_count == 4
    kinds = {name: index.data_type.value for name, index in loopback.indexes[NAME].items()}
    hashed = next(name for name in kinds if name.startswith("numbers.-"))
    assert kinds == {
        "terms": "keyword",
        "has": "keyword",
        "vector_count": "integer",
        "posted": "keyword",
        "numbers.year": "float",
        hashed: "float",
    }
    loopback.indexes.clear()  # made by a writer that stopped before it made the indexes
    with open_qdrant_store(**loopback.arguments()) as opened:
        assert opened.stats().total_vector_count == 4
        opened.upsert(batch(1))
    assert set(loopback.indexes[NAME]) == {"terms", "has", "vector_count", "posted"}


def test_an_own_client_over_grpc(loopback):
    mine = QdrantClient(url="http://127.0.0.1", grpc_port=loopback.port, prefer_grpc=True, check_compatibility=False)
    with open_qdrant_store(client=mine) as opened:
        opened.upsert(batch())
        assert loopback.upsert_sizes
        assert opened.capabilities().persistent
    assert mine.count(NAME).count == 3
    mine.close()


@pytest.fixture
def serve_http():
    """Serve HTTP on a loopback port: give a function that takes what answers a request and returns the address."""
    servers = []

    def serve(answer: Callable[[httpx.Request], httpx.Response]) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                response = answer(
                    httpx.Request(self.command, f"http://{self.headers['Host']}{self.path}", content=body)
                )
                self.send_response(response.status_code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(response.content)))
                self.end_headers()
                self.wfile.write(response.content)

            do_GET = do_PUT = do_POST = handle_any  # noqa: N815 - the names that http.server calls

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def test_http(client, serve_http, monkeypatch):
    """The HTTP transport: what the client sends, parsed again, answered by the in-process engine."""
    client.create_collection(NAME, vectors_config={"tokens": multivector()}, metadata={"kayak_format": 1})
    sizes = []
    monkeypatch.setattr(transport.ClientTransport, "batch_bytes", 4_000)

    def answer(request: httpx.Request) -> httpx.Response:
        result: Any = True
        if request.method == "GET" and request.url.path == "/":
            return httpx.Response(200, json={"title": "qdrant", "version": "1.20.0"})
        if request.method == "GET":
            result = client.get_collection(NAME).model_dump(mode="json")
        elif request.url.path.endswith("/index"):
            result = {"operation_id": 0, "status": "completed"}
        elif request.method == "PUT":
            assert request.url.params["ordering"] == "strong"
            assert request.url.params["wait"] == "true"
            sizes.append(len(request.content))
            client.upsert(NAME, models.PointsList.model_validate_json(request.content).points)
            result = {"operation_id": 0, "status": "completed"}
        elif request.url.path.endswith("/scroll"):
            points, offset = client.scroll(NAME, limit=100, with_payload=False)
            result = {"points": [point.model_dump(mode="json") for point in points], "next_page_offset": offset}
        else:
            wanted = models.PointRequest.model_validate_json(request.content)
            points = client.retrieve(NAME, wanted.ids, with_payload=wanted.with_payload, with_vectors=["tokens"])
            result = [point.model_dump(mode="json") for point in points]
        return httpx.Response(200, json={"status": "ok", "time": 0.0, "result": result})

    mine = QdrantClient(url=serve_http(answer), check_compatibility=False)
    values = np.array([[1e-45, -0.0, 3.4e38, 1 / 3], [-1e-30, 1.0, 2**-126, -7.7]], dtype=np.float32)
    documents = kayak.documents(["a", *(f"b{n}" for n in range(20))], [values, *([np.ones((100, 4))] * 20)])
    with open_qdrant_store(client=mine) as opened:
        opened.upsert(documents, metadata=[{"x": 1.0, "\x00": "é"}] + [{}] * 20)
        assert len(sizes) > 1
        (found,) = opened.documents(doc_ids=["a"])
        assert found.block.vectors.tobytes() == values.tobytes()
        assert found.metadata == ({"x": 1.0, "\x00": "é"},)
        assert sorted(opened.load_index().doc_ids) == sorted(documents.doc_ids)
    mine.close()


def test_a_body_of_the_widest_numbers_is_within_the_default_limit():
    widest = float(np.float32(-1.17549435e-38))
    assert transport.ClientTransport.batch_bytes / 4 * len(f"{widest!r}, ") < 32e6


# --- the protocol -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 4, 31, 32, 128, 4096])
def test_multivectors_are_encoded_as_the_library_would(dim):
    matrix = np.random.default_rng(dim).standard_normal((3, dim)).astype(np.float32)
    expected = messages.MultiDenseVector(vectors=[messages.DenseVector(data=row) for row in matrix.tolist()])
    assert to_multivector(matrix).SerializeToString() == expected.SerializeToString()
    modern = messages.VectorOutput(multi_dense=expected)
    older = messages.VectorOutput(data=matrix.ravel().tolist(), vectors_count=3)
    for output in (modern, older):
        found = from_multivector(output, dim)
        assert found.dtype == np.float32
        assert found.tobytes() == matrix.tobytes()


def test_multivectors_of_another_dimension_are_refused():
    output = messages.VectorOutput(multi_dense=to_multivector(np.ones((3, 8), np.float32)))
    for dim in (4, 7, 16, 26):
        with pytest.raises(kayak.StoreCorruptError, match=f"dimension {dim}"):
            from_multivector(output, dim)


# --- errors -------------------------------------------------------------------------------------------------------


def http_error(status: int) -> UnexpectedResponse:
    return UnexpectedResponse.for_response(httpx.Response(status, content=b'{"status": {"error": "because"}}'))


@pytest.mark.parametrize(
    ("raised", "expected", "words"),
    [
        (http_error(401), kayak.StoreAccessError, "HTTP 401.*because"),
        (http_error(403), kayak.StoreAccessError, "read and write"),
        (http_error(404), kayak.StoreError, "no longer has the collection"),
        (http_error(413), kayak.StoreError, "max_request_size_mb"),
        (http_error(429), kayak.StoreUnavailableError, "does not answer"),
        (http_error(500), kayak.StoreError, "reports: HTTP 500"),
        (http_error(503), kayak.StoreUnavailableError, "does not answer"),
        (http_error(599), kayak.StoreError, "HTTP 599"),
        (ResourceExhaustedResponse("slow down", 3), kayak.StoreUnavailableError, "slow down"),
        (ResponseHandlingException(httpx.ReadTimeout("late")), kayak.StoreUnavailableError, "ReadTimeout.*timeout="),
        (ResponseHandlingException(httpx.ReadError("cut")), kayak.StoreUnavailableError, "ReadError: cut"),
        (ResponseHandlingException(ValueError("odd")), kayak.StoreError, "ValueError: odd"),
        (ValueError("x" * 1_000), kayak.StoreError, "^there reports: ValueError: x{488}$"),
        (OSError("disk full"), kayak.StoreError, "disk full"),
    ],
)
def test_errors_of_the_client(raised, expected, words):
    with pytest.raises(expected, match=words) as caught, errors.translated("there"):
        raise raised
    assert type(caught.value) is expected
    assert caught.value.__cause__ is raised


def test_errors_that_are_not_the_client_s_pass_through():
    for raised in (kayak.InvalidInputError("ours"), KeyboardInterrupt(), ZeroDivisionError()):
        with pytest.raises(type(raised)) as caught, errors.translated("there"):
            raise raised
        assert caught.value is raised
