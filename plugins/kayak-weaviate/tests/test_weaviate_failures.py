"""Arguments, and failures where no server is needed: each a clear error of Kayak's that says what to do."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import httpx
import kayak
import pytest
import weaviate
from kayak_weaviate.errors import AnswerTooLargeError, translate_error, translated
from kayak_weaviate.plugin import kayak_stores, open_weaviate_store
from kayak_weaviate.reading import PAGE_BYTES, PageSize
from weaviate import exceptions as weaviate_errors

PLACE = "collection 'LateDocument' at http://localhost:8080"


@pytest.fixture
def closed_port() -> int:
    """Return a loopback port on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answered(status: int) -> weaviate_errors.UnexpectedStatusCodeError:
    return weaviate_errors.UnexpectedStatusCodeError("Get", httpx.Response(status, json={"message": "no"}))


def failed_call(code: grpc.StatusCode, closed_port: int) -> Exception:
    """Return the client library's error after a gRPC call that really failed on a closed port, with another status."""
    with grpc.insecure_channel(f"127.0.0.1:{closed_port}") as channel:
        try:
            channel.unary_unary("/weaviate.v1.Weaviate/Search")(b"", timeout=5)
        except grpc.RpcError as error:
            error.code = lambda: code  # type: ignore[attr-defined]  # any status, over the real object
            wrapped = weaviate_errors.WeaviateQueryError(str(error.details()), "GRPC search")
            wrapped.__context__ = error  # as the client leaves it
            return wrapped
    raise AssertionError("the call succeeded")


def test_listing_kinds_loads_no_client() -> None:
    code = (
        "import sys, kayak_weaviate.plugin as p; (spec,) = p.kayak_stores(); assert spec.name == 'weaviate'; "
        "sys.exit(sorted({'weaviate', 'grpc', 'httpx'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_spec() -> None:
    (spec,) = kayak_stores()
    assert spec.factory is open_weaviate_store
    assert "client" in spec.summary


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"url": "http://localhost:8080", "persistence_path": "folder"},
        {"url": "localhost:8080"},
        {"url": "ftp://localhost"},
        {"url": "http://"},
        {"url": "http://localhost:x"},
        {"url": "http://[::1"},
        {"url": "http://localhost:8080/v1"},
        {"url": "http://me@localhost:8080"},
        {"url": "http://localhost:50051"},
        {"url": "http://localhost:8080", "grpc_port": 8080},
        {"url": "http://localhost:8080", "grpc_port": 1, "grpc_url": "localhost:1"},
        {"url": "http://localhost:8080", "grpc_url": "localhost:x"},
        {"url": "http://localhost:8080", "timeout": 0},
        {"url": "http://localhost:8080", "timeout": "60"},
        {"url": "http://localhost:8080", "timeout": float("nan")},
    ],
)
def test_malformed_arguments(arguments: dict[str, Any]) -> None:
    with pytest.raises(kayak.InvalidInputError):
        open_weaviate_store(**arguments)


def test_types_of_arguments() -> None:
    wrong: Any = weaviate.WeaviateAsyncClient(
        weaviate.connect.ConnectionParams.from_url("http://localhost:8080", grpc_port=50051)
    )
    with pytest.raises(kayak.InvalidTypeError, match="WeaviateAsyncClient"):
        open_weaviate_store(client=wrong)
    number: Any = 8080
    with pytest.raises(kayak.InvalidTypeError, match="url must be a string"):
        open_weaviate_store(url=number)


def test_no_server(closed_port: int) -> None:
    for more in ({}, {"api_key": "secret"}, {"headers": {"X-Name": "value"}}):
        with pytest.raises(kayak.StoreUnavailableError, match="does not answer") as caught:
            open_weaviate_store(url=f"http://127.0.0.1:{closed_port}", timeout=5, **more)
        assert isinstance(caught.value, ConnectionError)
        assert f"127.0.0.1:{closed_port}" in str(caught.value)
        assert "secret" not in str(caught.value)


def test_a_cloud_cluster_needs_a_key() -> None:
    with pytest.raises(kayak.StoreAccessError, match="api_key="):
        open_weaviate_store(url="https://example.weaviate.cloud")


def test_a_client_that_is_not_connected() -> None:
    client = weaviate.WeaviateClient(
        weaviate.connect.ConnectionParams.from_url("http://localhost:8080", grpc_port=50051), skip_init_checks=True
    )
    with pytest.raises(kayak.StoreUnavailableError, match=r"client\.connect\(\)"):
        open_weaviate_store(client=client)


def test_the_embedded_server_cannot_be_downloaded(
    closed_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    archive = f"http://127.0.0.1:{closed_port}/weaviate.tar.gz"
    with pytest.raises(kayak.StoreUnavailableError, match=r"downloads it .*url="):
        open_weaviate_store(persistence_path=tmp_path / "data", server_version=archive)


def test_the_embedded_server_needs_a_version_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(kayak.StoreError, match="Invalid version"):
        open_weaviate_store(persistence_path=tmp_path / "data", server_version="newest")
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(kayak.StorePathError, match="is a file"):
        open_weaviate_store(persistence_path=file)


def test_the_embedded_server_finds_its_port_taken(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(kayak.StoreUnavailableError, match="already listening"):
            open_weaviate_store(persistence_path=tmp_path / "data", port=listener.getsockname()[1])


@pytest.mark.parametrize(
    ("error", "kind", "remedy"),
    [
        (weaviate_errors.AuthenticationFailedError("no"), kayak.StoreAccessError, "api_key="),
        (weaviate_errors.MissingScopeError("no"), kayak.StoreAccessError, "api_key="),
        (weaviate_errors.InsufficientPermissionsError(httpx.Response(403)), kayak.StoreAccessError, "rights"),
        (answered(401), kayak.StoreAccessError, "api_key="),
        (answered(403), kayak.StoreAccessError, "rights"),
        (answered(503), kayak.StoreUnavailableError, "timeout="),
        (answered(429), kayak.StoreUnavailableError, "timeout="),
        (answered(500), kayak.StoreError, "500"),
        (weaviate_errors.WeaviateClosedClientError(), kayak.StoreUnavailableError, r"connect\(\)"),
        (weaviate_errors.WeaviateTimeoutError("slow"), kayak.StoreUnavailableError, "timeout="),
        (weaviate_errors.WeaviateRetryError("x", 3), kayak.StoreUnavailableError, "both ports"),
        (weaviate_errors.WeaviateGRPCUnavailableError("v1.39.6", ("h", 1)), kayak.StoreUnavailableError, "ports"),
        (httpx.ReadError("reset by peer"), kayak.StoreUnavailableError, "reset by peer"),
        (weaviate_errors.WeaviateQueryError("query maximum results exceeded", "x"), kayak.StoreError, "10,000"),
        (weaviate_errors.WeaviateQueryError("could not find class X", "x"), kayak.StoreError, "open the store again"),
        (weaviate_errors.WeaviateBatchError("store is read-only"), kayak.StoreAccessError, "disk is nearly full"),
        (weaviate_errors.WeaviateBatchError("status READONLY"), kayak.StoreAccessError, "READY"),
        (weaviate_errors.WeaviateBatchError("vector lengths don't match"), kayak.StoreError, "dimension"),
        (weaviate_errors.WeaviateInvalidInputError("odd"), kayak.StoreError, "odd"),
    ],
)
def test_each_failure_has_its_kind_and_remedy(error: Exception, kind: type[Exception], remedy: str) -> None:
    found = translate_error(error, "write documents", PLACE)
    assert type(found) is kind
    with pytest.raises(kind, match=remedy) as caught, translated("write documents", PLACE):
        raise error
    assert str(caught.value).startswith(f"{PLACE}: could not write documents")
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, kayak.StoreUnavailableError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, kayak.StoreUnavailableError),
        (grpc.StatusCode.UNAUTHENTICATED, kayak.StoreAccessError),
        (grpc.StatusCode.PERMISSION_DENIED, kayak.StoreAccessError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, AnswerTooLargeError),
        (grpc.StatusCode.UNKNOWN, kayak.StoreError),
    ],
)
def test_the_status_of_a_call_decides(code: grpc.StatusCode, kind: type[Exception], closed_port: int) -> None:
    assert type(translate_error(failed_call(code, closed_port), "search", PLACE)) is kind


def test_other_errors_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), translated("search", PLACE):
        raise ZeroDivisionError


def test_pages_grow_and_shrink_with_what_comes_back() -> None:
    size = PageSize()
    assert size.rows == 128
    size.learn(128, PAGE_BYTES * 2)
    assert size.rows == 64
    size.learn(64, 64)
    assert size.rows == 256
    for _ in range(9):
        size.learn(size.rows, 0)
    assert size.rows == 2_000
    size.learn(1, PAGE_BYTES * 3)
    assert size.rows == 1
    large = AnswerTooLargeError("larger than max")
    with pytest.raises(AnswerTooLargeError, match="larger than max"):
        size.halve(large)
    size = PageSize(9)
    size.halve(large)
    assert size.rows == 4
