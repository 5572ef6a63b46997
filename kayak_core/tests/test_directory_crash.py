"""Processes that are killed, and processes that share a store.

Run as a script, this module is the process under test: `crash` reads seeds and forks writers that it kills; `writer`
and `reader` work on one store for a number of seconds.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import kayak
import numpy as np
import pytest
from kayak.errors import EmptySelectionError, StoreBusyError
from kayak.testing.rows import as_kept

DIM = 16
POOL = [f"doc-{i}" for i in range(48)]
SEGMENT_BYTES = 32 << 10
Documents = dict[str, tuple[bytes, str, dict[str, Any]]]


def operation(seed: int, number: int) -> tuple[str, list[str], kayak.LateDocuments | None, list[dict[str, Any]]]:
    """Return one step of a writer: what it does, to which ids, with which documents."""
    chance = random.Random(seed * 1_000_003 + number)
    kind = chance.choices(["upsert", "delete", "compact"], [6, 2, 2])[0]
    ids = chance.sample(POOL, chance.randint(1, 12))
    if kind != "upsert":
        return kind, ids, None, []
    values = np.random.default_rng(chance.randrange(2**32))
    matrices = [values.standard_normal((chance.randint(1, 40), DIM)).astype(np.float32) for _ in ids]
    texts = [f"{doc_id} of write {seed}/{number} " * chance.randint(1, 60) for doc_id in ids]
    metadata = [{"seed": seed, "number": number, "even": i % 2 == 0} for i in range(len(ids))]
    return kind, ids, kayak.documents(ids, matrices, texts=texts), metadata


def apply_to_store(store: kayak.DirectoryLateStore, seed: int, number: int) -> None:
    kind, ids, documents, metadata = operation(seed, number)
    if documents is not None:
        store.upsert(documents, metadata=metadata)
    elif kind == "delete":
        store.delete(ids)
    else:
        store.compact()


def apply_to_model(model: Documents, seed: int, number: int, vector_dtype: str) -> Documents:
    kind, ids, documents, metadata = operation(seed, number)
    model = dict(model)
    if documents is not None:
        assert documents.texts is not None
        for doc_id, matrix, text, row in zip(ids, documents.token_matrices, documents.texts, metadata, strict=True):
            assert text is not None
            kept = as_kept(matrix, vector_dtype)
            model[doc_id] = (kept.tobytes(), text, row)  # a dict keeps the place of a key that it has
    elif kind == "delete":
        for doc_id in ids:
            model.pop(doc_id, None)
    return model


def read_all(store: kayak.DirectoryLateStore) -> list[tuple[str, Any]]:
    found = []
    for batch in store.documents():
        assert batch.metadata is not None
        texts = batch.texts or ()
        for doc_id, matrix, text, row in zip(batch.doc_ids, batch.token_matrices, texts, batch.metadata, strict=True):
            found.append((doc_id, (matrix.tobytes(), text, dict(row))))
    return found


def serve_crashes(path: str, vector_dtype: str) -> None:
    """For each line "seed milliseconds": fork a writer, kill it after that time, print what it acknowledged."""
    with tempfile.TemporaryDirectory() as folder, kayak.DirectoryLateStore(folder) as store:
        for number in range(20):  # loads everything that the children need
            apply_to_store(store, 0, number)
    for line in sys.stdin:
        seed, milliseconds = (int(word) for word in line.split())
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                store = kayak.DirectoryLateStore(path, vector_dtype=vector_dtype, segment_bytes=SEGMENT_BYTES)
                for number in range(1_000_000):
                    apply_to_store(store, seed, number)
                    os.write(write_end, b".")
            finally:
                os._exit(1)
        os.close(write_end)
        # Every other writer is left alone until its first write, so that there are some however busy the machine.
        acknowledged = os.read(read_end, 1) if seed % 2 else b""
        time.sleep(milliseconds / 1000)  # the random instant is what is tested
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        while data := os.read(read_end, 65536):
            acknowledged += data
        os.close(read_end)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(json.dumps([killed, len(acknowledged)]), flush=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.parametrize("kills", [10, pytest.param(250, marks=pytest.mark.soak)])
@pytest.mark.parametrize("vector_dtype", ["float32", "int8"])
def test_a_kill_at_any_instant_loses_nothing_acknowledged(tmp_path: Path, kills: int, vector_dtype: str) -> None:
    path = tmp_path / "s"
    model: Documents = {}
    chance = random.Random(kills)
    in_flight = writes = 0
    command = [sys.executable, __file__, "crash", str(path), vector_dtype]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as zygote:
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        for seed in range(kills):
            zygote.stdin.write(f"{seed} {chance.randint(5, 150)}\n")
            zygote.stdin.flush()
            killed, acknowledged = json.loads(zygote.stdout.readline())
            assert killed
            writes += acknowledged
            for number in range(acknowledged):
                model = apply_to_model(model, seed, number, vector_dtype)
            after_next = apply_to_model(model, seed, acknowledged, vector_dtype)
            read_only = seed % 2 == 0 and seed > 0
            # With its element type: the first writer may have been killed before it created the store.
            with kayak.DirectoryLateStore(path, vector_dtype=vector_dtype, read_only=read_only) as store:
                found = read_all(store)
                assert found in (list(model.items()), list(after_next.items()))
                if found != list(model.items()):
                    model = after_next
                    in_flight += 1
                store.verify()
                where = {"even": True}
                even = [doc_id for doc_id, (_, _, row) in model.items() if row["even"]]
                assert not even or list(store.load_index(where=where).doc_ids) == even
        zygote.stdin.close()
    assert writes >= kills // 2
    print(f"{kills} kills, {writes} acknowledged writes, {in_flight} committed but not yet acknowledged")


STEPS = ("mkdir", "open", "write", "fsync", "link")


def create_until(path: str, step: int) -> None:
    """Create a store, and die before step number `step` of those that touch the disk."""
    left = itertools.count(step, -1)

    def deadly(name: str) -> None:
        function = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        setattr(os, name, call)

    for name in STEPS:
        deadly(name)
    kayak.DirectoryLateStore(path).close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_kill_at_any_step_of_creation_leaves_a_folder_that_a_store_can_be_created_in(tmp_path: Path) -> None:
    with kayak.DirectoryLateStore(tmp_path / "warm") as store:  # loads everything that the children need
        store.upsert(group_documents("g", 1))
    for step in itertools.count():
        path = tmp_path / f"s{step}"
        child = os.fork()
        if child == 0:
            try:
                create_until(str(path), step)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        with kayak.DirectoryLateStore(path) as store:
            store.upsert(group_documents("g", 1))
            store.verify()
        if not os.WIFSIGNALED(status):
            break
    assert step >= len(STEPS)


GROUP = 4
LEAST = 5  # steps that every process takes, however busy the machine


def group_documents(name: str, version: int) -> kayak.LateDocuments:
    """Documents that are only ever written together; their vectors tell the version."""
    matrices = [np.full((3, DIM), version, dtype=np.float32) for _ in range(GROUP)]
    return kayak.documents([f"{name}/{i}" for i in range(GROUP)], matrices, texts=[f"{name} {version}"] * GROUP)


def write_for(path: str, name: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    chance = random.Random(name)
    version = 0
    with kayak.DirectoryLateStore(path, busy_timeout=60, segment_bytes=SEGMENT_BYTES) as store:
        while time.monotonic() < deadline or version < LEAST:
            version += 1
            group = f"{name}-{chance.randrange(10)}"
            if version % 7 == 0:
                store.delete([f"{group}/{i}" for i in range(GROUP)])
            elif version % 11 == 0:
                store.compact()
            else:
                documents = group_documents(group, version)
                store.upsert(documents, metadata=[{"group": group, "version": version}] * GROUP)
    print(json.dumps(version))


def check_groups(rows: list[tuple[str, float, str | None]], latest: dict[str, float]) -> None:
    """Require whole groups of one version, and no group older than it was seen before."""
    groups: dict[str, set[tuple[float, str | None]]] = {}
    sizes: dict[str, int] = {}
    for doc_id, version, text in rows:
        group = doc_id.partition("/")[0]
        groups.setdefault(group, set()).add((version, text))
        sizes[group] = sizes.get(group, 0) + 1
    for group, seen in groups.items():
        ((version, text),) = seen
        if sizes[group] != GROUP or text != f"{group} {int(version)}" or version < latest.get(group, 0):
            raise SystemExit(f"inconsistent snapshot: {group} {sizes[group]} {seen} after {latest.get(group)}")
        latest[group] = version


def read_for(path: str, name: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    latest: dict[str, float] = {}
    reads = 0
    with kayak.DirectoryLateStore(path, read_only=name == "r0") as store:
        while time.monotonic() < deadline or reads < LEAST:
            reads += 1
            with contextlib.suppress(EmptySelectionError):
                if reads % 3 == 0:
                    rows = [
                        (doc_id, float(matrix.mean()), text)
                        for batch in store.documents(batch_size=5)
                        for doc_id, matrix, text in zip(
                            batch.doc_ids, batch.token_matrices, batch.texts or (), strict=True
                        )
                    ]
                else:
                    where = {"version": {"$gt": 0}} if reads % 2 else None
                    index = store.load_index(where=where, include_text=True)
                    matrix, offsets = index.as_packed_token_matrix(), index.doc_offsets
                    values = [float(matrix[i:j].mean()) for i, j in itertools.pairwise(offsets)]
                    rows = list(zip(index.doc_ids, values, index.doc_texts or (), strict=True))
                check_groups(rows, latest)
    print(json.dumps(reads))


@pytest.mark.parametrize("seconds", [2, pytest.param(30, marks=pytest.mark.soak)])
def test_two_writers_and_four_readers_share_a_store(tmp_path: Path, seconds: int) -> None:
    path = tmp_path / "s"
    kayak.DirectoryLateStore(path).close()
    roles = [("writer", "w0"), ("writer", "w1"), *(("reader", f"r{i}") for i in range(4))]
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, role, str(path), name, str(seconds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for role, name in roles
    ]
    counts = []
    for process in processes:
        output, errors = process.communicate(timeout=seconds + 120)
        assert process.returncode == 0, errors
        counts.append(json.loads(output))
    print(f"writes {counts[:2]}, reads {counts[2:]}")
    assert min(counts) >= LEAST
    with kayak.DirectoryLateStore(path) as store:
        store.verify()
        read_for(str(path), "end", 0.01)


def test_a_writer_that_waits_too_long_gets_the_documented_error(tmp_path: Path) -> None:
    path = tmp_path / "s"
    script = (
        "import sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE')\n"
        "print('locked', flush=True); sys.stdin.read()\n"
    )
    with kayak.DirectoryLateStore(path, busy_timeout=0.1) as store:
        holder = subprocess.Popen(
            [sys.executable, "-c", script, str(path / "catalog.sqlite")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "locked\n"
            with pytest.raises(StoreBusyError, match="another process or thread held"):
                store.upsert(group_documents("g", 1))
            holder.communicate("")
        store.upsert(group_documents("g", 1))


if __name__ == "__main__":
    if sys.argv[1] == "crash":
        serve_crashes(sys.argv[2], sys.argv[3])
    else:
        work = write_for if sys.argv[1] == "writer" else read_for
        work(sys.argv[2], sys.argv[3], float(sys.argv[4]))
