"""What goes wrong around a table: killed and competing writers, folders that cannot be written, damaged files."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import kayak
import numpy as np
import pytest
from kayak_lancedb.faults import ATTEMPTS, retried, translate, translated
from kayak_lancedb.store import LanceDBLateStore

DIM = 8
WRITER = """
import sys
import kayak
import numpy as np
from kayak_lancedb.store import LanceDBLateStore

path, name, rounds, size, shared = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
store = LanceDBLateStore(path=path)
print("open", flush=True)
sys.stdin.readline()
for version in range(1, rounds + 1):
    ids = [f"{'shared' if number < shared else name}-{number}" for number in range(size)]
    vectors = [np.full((1 + number % 3, 8), version, dtype=np.float32) for number in range(size)]
    rows = [{"version": version, "writer": name} for _ in ids]
    store.upsert(kayak.documents(ids, vectors, texts=[f"{name} {version}"] * size), metadata=rows)
    print(version, flush=True)
"""


@pytest.fixture
def start_writer(tmp_path):
    """Start a process that writes versions of its documents, each acknowledged by a line, once it is told to go."""
    with ExitStack() as running:

        def start(name, *, rounds, size, shared=0):
            command = [sys.executable, "-c", WRITER, str(tmp_path), name, str(rounds), str(size), str(shared)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            writer = running.enter_context(subprocess.Popen(command, text=True, **pipes))
            running.callback(writer.kill)
            return writer

        yield start


def go(*writers):
    """Let writers begin, all at once."""
    for writer in writers:
        assert writer.stdout.readline() == "open\n", writer.stderr.read()
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()


def whole_documents(store):
    """Return the version of each document, after checking that no document mixes two versions."""
    versions = {}
    for batch in store.documents():
        for doc_id, matrix, text, row in zip(
            batch.doc_ids, batch.token_matrices, batch.texts, batch.metadata, strict=True
        ):
            assert doc_id not in versions, f"{doc_id} is there twice"
            assert (matrix == row["version"]).all(), "vectors and metadata are of two versions"
            assert len(matrix) == 1 + int(doc_id.rpartition("-")[2]) % 3
            assert text == f"{row['writer']} {row['version']}"
            versions[doc_id] = row["version"]
    return versions


@pytest.mark.parametrize("seed", range(3))
def test_a_writer_killed_at_any_instant_leaves_whole_batches(tmp_path, start_writer, seed):
    writer = start_writer("w", rounds=10_000, size=40)
    go(writer)
    for _ in range(2 + seed):
        acknowledged = int(writer.stdout.readline())
    # How much of the next batch is written by then depends on the machine; any amount must do.
    for _ in range(random.Random(seed).randrange(20_000)):
        pass
    writer.send_signal(signal.SIGKILL)
    rest, _ = writer.communicate()
    acknowledged = max([acknowledged, *map(int, rest.split())])
    with LanceDBLateStore(path=tmp_path) as store:
        versions = whole_documents(store)
        assert sorted(versions) == sorted(f"w-{number}" for number in range(40))
        assert len(set(versions.values())) == 1, "a batch was written in part"
        assert versions["w-0"] in (acknowledged, acknowledged + 1)
        rows = [{"version": 0, "writer": "again"}] * 40
        ids = sorted(versions, key=lambda doc_id: int(doc_id.rpartition("-")[2]))
        vectors = [np.zeros((1 + number % 3, DIM)) for number in range(40)]
        store.upsert(kayak.documents(ids, vectors, texts=["again 0"] * 40), metadata=rows)
        assert set(whole_documents(store).values()) == {0}


def test_writers_in_several_processes_lose_nothing(tmp_path, start_writer):
    names = ("a", "b", "c")
    writers = [start_writer(name, rounds=4, size=10, shared=3) for name in names]
    go(*writers)  # all have opened a table that does not exist yet
    for writer in writers:
        _, errors = writer.communicate()
        assert writer.returncode == 0, errors
    with LanceDBLateStore(path=tmp_path) as store:
        versions = whole_documents(store)
        own = {f"{name}-{number}" for name in names for number in range(3, 10)}
        assert set(versions) == own | {f"shared-{number}" for number in range(3)}
        assert all(versions[doc_id] == 4 for doc_id in own), "an acknowledged upsert is lost"
        assert store.stats().document_count == len(versions)


def test_the_first_writers_agree_on_the_dimension(tmp_path):
    stores = [LanceDBLateStore(path=tmp_path) for _ in range(4)]

    def write(number):
        dim = 4 + number % 2
        try:
            stores[number].upsert(kayak.documents([f"d{number}"], [np.ones((1, dim))]))
        except kayak.InvalidInputError:
            return None
        return dim

    with ThreadPoolExecutor(4) as pool:
        dims = {dim for dim in pool.map(write, range(4)) if dim is not None}
    assert len(dims) == 1
    assert {store.vector_dim() for store in stores} == dims
    assert stores[0].stats().document_count == 2


def test_a_dimension_that_came_in_between_is_refused(tmp_path):
    one, other = LanceDBLateStore(path=tmp_path), LanceDBLateStore(path=tmp_path)
    one.upsert(kayak.documents(["a"], [np.ones((1, 4))]))
    row = kayak.StoredDocument("b", np.ones((1, 5), np.float32))
    with pytest.raises(kayak.InvalidInputError, match=r"dimension 5.*dimension 4"):
        other.write_documents([row])  # as if the check of dimensions had run before the first writer
    assert one.stats().document_count == 1


READ_ONLY = """
import os, sys
from pathlib import Path
import kayak
import numpy as np
from kayak_lancedb.store import LanceDBLateStore

folder, elsewhere = map(Path, sys.argv[1:])
for place in (elsewhere, folder):  # the first also imports all that a user without rights may not be able to
    with LanceDBLateStore(path=place) as store:
        store.upsert(kayak.documents(["a"], [np.ones((2, 8))]))
        store.search_candidates(kayak.query(np.ones((1, 8))), k=1)
        if place == elsewhere:
            store.set_encoder_fingerprint("y")
            store.compact()
for entry in (folder, *folder.rglob("*")):
    entry.chmod(0o755 if entry.is_dir() else 0o644)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
with LanceDBLateStore(path=folder) as store:
    assert store.load_index().doc_ids == ("a",)
    assert store.search_candidates(kayak.query(np.ones((1, 8))), k=1).candidate_doc_ids == ("a",)
    for write in (
        lambda: store.upsert(kayak.documents(["b"], [np.ones((1, 8))])),
        lambda: store.delete(["a"]),
        lambda: store.set_encoder_fingerprint("x"),
        store.compact,
    ):
        try:
            write()
        except kayak.StoreAccessError as error:
            assert "write access" in str(error), error
        else:
            raise AssertionError("a read-only folder was written")
    assert store.load_index().doc_ids == ("a",)
try:
    LanceDBLateStore(path=folder / "below")
except kayak.StorePathError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become a user without rights")
def test_a_read_only_folder_is_read_and_not_written(tmp_path):
    with tempfile.TemporaryDirectory() as parent:  # pytest's own folders are closed to other users
        Path(parent).chmod(0o755)
        arguments = [str(Path(parent) / "late"), str(tmp_path / "elsewhere")]
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, *arguments], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert "Permission denied" in done.stdout


def test_damaged_and_missing_files_are_reported(tmp_path):
    store = LanceDBLateStore(path=tmp_path)
    store.upsert(kayak.documents(["a", "b"], np.ones((2, 3, DIM))))
    (data,) = (tmp_path / "late_documents.lance" / "data").iterdir()
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(kayak.StoreCorruptError, match=r"cannot read table 'late_documents' .*backup"):
        LanceDBLateStore(path=tmp_path).load_index()
    data.unlink()
    with pytest.raises(kayak.StoreCorruptError, match="backup"):
        LanceDBLateStore(path=tmp_path).load_index()
    data.write_bytes(whole)
    assert LanceDBLateStore(path=tmp_path).load_index().document_count == 2


def test_object_storage_that_does_not_answer_is_unavailable():
    options = {
        "endpoint": "http://127.0.0.1:9",
        "allow_http": "true",
        "region": "here",
        "access_key_id": "a",
        "secret_access_key": "b",
        "client_max_retries": "0",
        "connect_timeout": "1s",
        "timeout": "2s",
    }
    with pytest.raises(kayak.StoreUnavailableError, match="network"):
        LanceDBLateStore(path="s3://bucket/late", storage_options=options)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("lance error: Retryable commit conflict for version 7: preempted", kayak.StoreBusyError),
        ("lance error: Too many concurrent writers, /root/x/lance-13.0.0/src/io.rs:5:6", kayak.StoreBusyError),
        ("IO error: Permission denied (os error 13)", kayak.StoreAccessError),
        ("Read-only file system (os error 30)", kayak.StoreAccessError),
        ("Generic S3 error: Client error with status: 403 Forbidden", kayak.StoreAccessError),
        ("IO error: No space left on device (os error 28)", kayak.StoreError),
        ("Generic S3 error: error sending request for url", kayak.StoreUnavailableError),
        ("operation timed out", kayak.StoreUnavailableError),
        ("Invalid magic number in file", kayak.StoreCorruptError),
        ("something else entirely", kayak.StoreError),
        ("", kayak.StoreError),
    ],
)
def test_every_failure_has_its_name_and_a_remedy(message, kind):
    error = translate(RuntimeError(message), "read", "table 't' of '/x'")
    assert type(error) is kind
    assert str(error).startswith("cannot read table 't' of '/x'")
    assert ".rs:" not in str(error)


def test_errors_of_kayak_pass_and_others_keep_their_cause():
    with pytest.raises(kayak.FilterError), translated("read", "t"):
        raise kayak.FilterError("mine")
    with pytest.raises(kayak.StoreError) as caught, translated("read", "t"):
        raise OSError("theirs")
    assert isinstance(caught.value.__cause__, OSError)


def test_conflicts_are_repeated_and_other_errors_are_not():
    calls, refreshed = [], []

    def conflicting(times, error):
        def operation():
            calls.append(1)
            if len(calls) <= times:
                raise error

        return operation

    retried(conflicting(3, RuntimeError("Retryable commit conflict")), lambda: refreshed.append(1))
    assert (len(calls), len(refreshed)) == (4, 3)
    calls.clear()
    with pytest.raises(RuntimeError, match="conflict"):
        retried(conflicting(99, RuntimeError("commit conflict")), lambda: None)
    assert len(calls) == ATTEMPTS
    calls.clear()
    with pytest.raises(OSError, match="disk"):
        retried(conflicting(99, OSError("disk")), lambda: None)
    assert len(calls) == 1
