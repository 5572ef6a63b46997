"""Servers for the tests: a real one where there is one, and Qdrant's gRPC protocol over the in-process engine."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import subprocess
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

IMAGE = "qdrant/qdrant:v1.19.1"
START_SECONDS = 60


class LoopbackServer:
    """Speaks Qdrant's gRPC protocol on a loopback port, and answers from the in-process engine.

    Messages are converted by the client's own code in the opposite direction. So whatever the store sends passes
    through a real connection and a second implementation of the protocol, also where there is no server to be had.
    """

    def __init__(self, *, api_key: str | None = None) -> None:
        self.engine = QdrantClient(location=":memory:")
        self.api_key = api_key
        self.indexes: dict[str, dict[str, models.PayloadIndexInfo]] = {}
        self.failures: list[tuple[int, grpc.StatusCode]] = []  # (after so many upserts, status)
        self.upsert_sizes: list[int] = []
        self.search_params: list[models.SearchParams | None] = []
        self._lock = threading.Lock()
        self._server = grpc.server(
            ThreadPoolExecutor(4),
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )
        services: dict[str, dict[str, tuple[Any, Callable[[Any], Any]]]] = {
            "qdrant.Qdrant": {
                "HealthCheck": (messages.HealthCheckRequest, self._health),
            },
            "qdrant.Collections": {
                "Get": (messages.GetCollectionInfoRequest, self._collection),
                "Create": (messages.CreateCollection, self._create),
                "Update": (messages.UpdateCollection, self._update),
                "Delete": (messages.DeleteCollection, self._drop),
                "CollectionExists": (messages.CollectionExistsRequest, self._exists),
            },
            "qdrant.Points": {
                "Upsert": (messages.UpsertPoints, self._upsert),
                "Delete": (messages.DeletePoints, self._delete),
                "UpdateVectors": (messages.UpdatePointVectors, self._update_vectors),
                "SetPayload": (messages.SetPayloadPoints, self._set_payload),
                "Get": (messages.GetPoints, self._get),
                "Scroll": (messages.ScrollPoints, self._scroll),
                "Count": (messages.CountPoints, self._count),
                "Query": (messages.QueryPoints, self._query),
                "Facet": (messages.FacetCounts, self._facet),
                "CreateFieldIndex": (messages.CreateFieldIndexCollection, self._index),
            },
        }
        for service, methods in services.items():
            handlers = {
                name: grpc.unary_unary_rpc_method_handler(
                    self._guarded(name, answer), kind.FromString, lambda reply: reply.SerializeToString()
                )
                for name, (kind, answer) in methods.items()
            }
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def arguments(self, **more: Any) -> dict[str, Any]:
        return {"url": "http://127.0.0.1", "grpc_port": self.port, "timeout": 20, **more}

    def stop(self) -> None:
        self._server.stop(None).wait()
        self.engine.close()

    def _guarded(self, name: str, answer: Callable[[Any], Any]) -> Callable[[Any, grpc.ServicerContext], Any]:
        def handle(request: Any, context: grpc.ServicerContext) -> Any:
            keys = [value for key, value in context.invocation_metadata() if key == "api-key"]
            if name != "HealthCheck" and self.api_key is not None and keys != [self.api_key]:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "Must provide an API key")
            if name == "Upsert" and self.failures and len(self.upsert_sizes) >= self.failures[0][0]:
                context.abort(self.failures.pop(0)[1], "stopped in the middle")
            with self._lock:
                try:
                    return answer(request)
                except ValueError as error:
                    missing = "not found" in str(error)
                    status = grpc.StatusCode.NOT_FOUND if missing else grpc.StatusCode.INVALID_ARGUMENT
                    context.abort(status, str(error))

        return handle

    def _health(self, request: Any) -> Any:
        return messages.HealthCheckReply(title="qdrant", version=self.engine.info().version)

    def _collection(self, request: Any) -> Any:
        info = self.engine.get_collection(request.collection_name)
        info.payload_schema = self.indexes.get(request.collection_name, {})
        return messages.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))

    def _create(self, request: Any) -> Any:
        self.engine.create_collection(
            request.collection_name,
            vectors_config=GrpcToRest.convert_vectors_config(request.vectors_config),
            sparse_vectors_config=GrpcToRest.convert_sparse_vector_config(request.sparse_vectors_config),
            metadata=GrpcToRest.convert_payload(request.metadata),
        )
        return messages.CollectionOperationResponse(result=True)

    def _update(self, request: Any) -> Any:
        metadata = GrpcToRest.convert_payload(request.metadata)
        self.engine.update_collection(request.collection_name, metadata=metadata)
        return messages.CollectionOperationResponse(result=True)

    def _exists(self, request: Any) -> Any:
        exists = self.engine.collection_exists(request.collection_name)
        return messages.CollectionExistsResponse(result=messages.CollectionExists(exists=exists))

    def _drop(self, request: Any) -> Any:
        return messages.CollectionOperationResponse(result=self.engine.delete_collection(request.collection_name))

    def _upsert(self, request: Any) -> Any:
        self.upsert_sizes.append(request.ByteSize())
        assert request.wait
        assert request.ordering.type == messages.WriteOrderingType.Strong
        self.engine.upsert(request.collection_name, [GrpcToRest.convert_point_struct(each) for each in request.points])
        return _done()

    def _delete(self, request: Any) -> Any:
        self.engine.delete(request.collection_name, GrpcToRest.convert_points_selector(request.points))
        return _done()

    def _update_vectors(self, request: Any) -> Any:
        assert request.wait
        points = [GrpcToRest.convert_point_vectors(each) for each in request.points]
        try:
            self.engine.update_vectors(
                request.collection_name, points, update_filter=GrpcToRest.convert_filter(request.update_filter)
            )
        except KeyError as error:  # what a server answers, after it has written the others
            raise ValueError(f"point {error} not found") from error
        return _done()

    def _set_payload(self, request: Any) -> Any:
        assert request.wait
        self.engine.set_payload(
            request.collection_name,
            GrpcToRest.convert_payload(request.payload),
            GrpcToRest.convert_points_selector(request.points_selector),
        )
        return _done()

    def _get(self, request: Any) -> Any:
        records = self.engine.retrieve(
            request.collection_name,
            [GrpcToRest.convert_point_id(each) for each in request.ids],
            with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
            with_vectors=GrpcToRest.convert_with_vectors_selector(request.with_vectors),
        )
        return messages.GetResponse(result=[_record(each) for each in records])

    def _scroll(self, request: Any) -> Any:
        records, offset = self.engine.scroll(
            request.collection_name,
            scroll_filter=_filter(request),
            limit=request.limit,
            offset=GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None,
            with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
        )
        return messages.ScrollResponse(
            result=[_record(each) for each in records],
            next_page_offset=None if offset is None else RestToGrpc.convert_extended_point_id(offset),
        )

    def _count(self, request: Any) -> Any:
        found = self.engine.count(request.collection_name, count_filter=_filter(request), exact=request.exact)
        return messages.CountResponse(result=RestToGrpc.convert_count_result(found))

    def _query(self, request: Any) -> Any:
        self.search_params.append(GrpcToRest.convert_search_params(request.params))
        found = self.engine.query_points(
            request.collection_name,
            query=GrpcToRest.convert_query(request.query),
            using=request.using,
            query_filter=_filter(request),
            limit=request.limit,
            with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
        )
        return messages.QueryResponse(result=[RestToGrpc.convert_scored_point(each) for each in found.points])

    def _facet(self, request: Any) -> Any:
        found = self.engine.facet(request.collection_name, request.key, limit=request.limit, exact=request.exact)
        return messages.FacetResponse(hits=[RestToGrpc.convert_facet_value_hit(each) for each in found.hits])

    def _index(self, request: Any) -> Any:
        kinds = {
            messages.FieldType.FieldTypeKeyword: models.PayloadSchemaType.KEYWORD,
            messages.FieldType.FieldTypeInteger: models.PayloadSchemaType.INTEGER,
            messages.FieldType.FieldTypeFloat: models.PayloadSchemaType.FLOAT,
        }
        schema = self.indexes.setdefault(request.collection_name, {})
        schema[request.field_name] = models.PayloadIndexInfo(data_type=kinds[request.field_type], points=0)
        return _done()


def _done() -> Any:
    result = messages.UpdateResult(operation_id=0, status=messages.UpdateStatus.Completed)
    return messages.PointsOperationResponse(result=result)


def _record(record: models.Record) -> Any:
    return RestToGrpc.convert_record(record.model_copy(update={"payload": record.payload or {}}))


def _filter(request: Any) -> models.Filter | None:
    return GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None


@pytest.fixture
def loopback() -> Iterator[LoopbackServer]:
    server = LoopbackServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shared_loopback() -> Iterator[LoopbackServer]:
    """One server for many tests, each with a collection of its own."""
    server = LoopbackServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def server_arguments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What `open_qdrant_store` needs to reach a real server, which is started here where none is given."""
    url = os.environ.get("KAYAK_TEST_QDRANT_URL")
    if url:
        grpc_port = int(os.environ.get("KAYAK_TEST_QDRANT_GRPC_PORT", "6334"))
        yield {"url": url, "grpc_port": grpc_port, "api_key": os.environ.get("KAYAK_TEST_QDRANT_API_KEY")}
    elif executable := shutil.which("qdrant"):
        yield from _started(executable, tmp_path_factory.mktemp("qdrant-server"))
    else:
        yield from _contained()


def _started(executable: str, folder: Path) -> Iterator[dict[str, Any]]:
    http_port, grpc_port = _free_port(), _free_port()
    settings = {
        "QDRANT__SERVICE__HOST": "127.0.0.1",
        "QDRANT__SERVICE__HTTP_PORT": str(http_port),
        "QDRANT__SERVICE__GRPC_PORT": str(grpc_port),
        "QDRANT__STORAGE__STORAGE_PATH": str(folder / "storage"),
        "QDRANT__STORAGE__SNAPSHOTS_PATH": str(folder / "snapshots"),
        "QDRANT__TELEMETRY_DISABLED": "true",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [executable], cwd=folder, env={**os.environ, **settings}, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            url = f"http://127.0.0.1:{http_port}"
            _wait_until_ready(url, process)
            yield {"url": url, "grpc_port": grpc_port}
        finally:
            process.terminate()
            process.wait(30)


def _contained() -> Iterator[dict[str, Any]]:
    problem = _docker_problem()
    if problem is not None:
        pytest.skip(
            "no Qdrant server: KAYAK_TEST_QDRANT_URL is not set, there is no executable `qdrant` on PATH, and no "
            f"Docker engine answers ({problem})"
        )
    from testcontainers.core.container import DockerContainer

    container = DockerContainer(IMAGE).with_exposed_ports(6333, 6334).start()
    try:
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(6333)}"
        _wait_until_ready(url)
        yield {"url": url, "grpc_port": int(container.get_exposed_port(6334))}
    finally:
        container.stop()


def _docker_problem() -> str | None:
    import docker

    problem = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the client forgets its socket where no engine answers
        try:
            docker.from_env().close()
        except docker.errors.DockerException as error:
            problem = str(error)
        gc.collect()
    return problem


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes] | None = None) -> None:
    transport = httpx.HTTPTransport(retries=8)  # waits 0.5, 1, 2, ... seconds between connections that are refused
    with httpx.Client(transport=transport, timeout=START_SECONDS) as client:
        try:
            client.get(f"{url}/readyz").raise_for_status()
        except httpx.HTTPError as error:
            ended = "" if process is None else f", exit status {process.poll()}"
            pytest.fail(f"the Qdrant server at {url} did not start: {error}{ended}")


@pytest.fixture
def collection_name() -> str:
    """A name that no other test has used on a server that outlives the tests."""
    return f"kayak-test-{uuid.uuid4()}"
