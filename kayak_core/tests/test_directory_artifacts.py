"""Artifacts beside the documents of a directory store: round trips, conflicts, kills, damage.

Run as a script, this module is a writer that replaces an artifact until it is killed.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kayak
import numpy as np
import pytest
from kayak.builtin.directory import artifacts as artifacts_module

DIM = 4


def part(number: int, size: int = 100) -> kayak.ArtifactPart:
    values = np.arange(size, dtype=np.int32) + number
    return kayak.ArtifactPart({"number": number}, {"values": values, "squares": (values * 0.5).astype(np.float32)})


def numbers(parts: tuple[kayak.ArtifactPart, ...]) -> list[int]:
    for each in parts:
        assert (each.arrays["values"] == np.arange(len(each.arrays["values"])) + each.facts["number"]).all()
    return [each.facts["number"] for each in parts]


def filled(path: Path, ids: str = "abc", seed: int = 0) -> kayak.DirectoryLateStore:
    store = kayak.DirectoryLateStore(path)
    rng = np.random.default_rng(seed)
    store.upsert(kayak.documents(list(ids), [rng.standard_normal((2, DIM)) for _ in ids]))
    return store


def files(path: Path) -> list[str]:
    return sorted(each.name for each in (path / "artifacts").iterdir())


def test_what_is_written_is_read_after_reopening(tmp_path: Path) -> None:
    facts = {"format": 3, "name": "ü", "nested": {"a": [1, 2.5, None, True]}}
    arrays = {
        "codes": np.arange(7, dtype=np.uint16),
        "matrix": np.random.default_rng(0).standard_normal((5, 3)),
        "half": np.ones((2, 2), dtype=np.float16),
        "flags": np.array([True, False]),
        "none": np.empty((0, 4), dtype=np.int64),
        "strided": np.arange(20)[::3],
        "big-endian": np.arange(3, dtype=">i4"),
    }
    with filled(tmp_path / "s") as store:
        assert isinstance(store, kayak.KeepsArtifacts)
        assert store.artifacts.names() == ()
        assert store.artifacts.read("lists") == ()
        store.artifacts.write("lists", [kayak.ArtifactPart(facts, arrays)])
        before = store.stats().storage_byte_size
        assert before > sum(array.nbytes for array in arrays.values())
    with kayak.DirectoryLateStore(tmp_path / "s", read_only=True) as store:
        assert store.artifacts.names() == ("lists",)
        (found,) = store.artifacts.read("lists")
        assert dict(found.facts) == facts
        assert list(found.arrays) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found.arrays[name], array)
            assert found.arrays[name].shape == array.shape
            assert found.arrays[name].dtype == array.dtype.newbyteorder("<")
            assert not array.size or not found.arrays[name].flags.writeable
        assert store.verify().document_count == 3
        with pytest.raises(kayak.UnsupportedOperationError, match="read_only"):
            store.artifacts.write("lists", [])


def test_parts_that_are_kept_are_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with filled(path) as store:
        shelf = store.artifacts
        shelf.write("x", [part(1), part(2)])
        shelf.write("y", [part(9)])
        seen = shelf.read("x")
        generation = store.generation()
        shelf.write("x", [seen[0], part(3)], seen=seen)
        assert numbers(shelf.read("x")) == [1, 3]
        assert shelf.read("x")[0].file == seen[0].file
        assert len(files(path)) == 3, "the part that was replaced is gone"
        assert (seen[1].arrays["values"] == np.arange(100) + 2).all(), "what was mapped stays readable"
        assert store.generation() == generation, "documents did not change"
        shelf.write("x", [], seen=shelf.read("x"))
        assert shelf.names() == ("y",)
        assert len(files(path)) == 1


def test_a_write_after_somebody_elses_is_refused(tmp_path: Path) -> None:
    with filled(tmp_path / "s") as ours, kayak.DirectoryLateStore(tmp_path / "s") as theirs:
        ours.artifacts.write("x", [part(1)])
        seen = ours.artifacts.read("x")
        theirs.artifacts.write("x", [part(2)], seen=theirs.artifacts.read("x"))
        with pytest.raises(kayak.StoreBusyError, match="somebody else has written it"):
            ours.artifacts.write("x", [seen[0], part(3)], seen=seen)
        with pytest.raises(kayak.StoreBusyError):
            ours.artifacts.write("x", [part(3)])
        assert numbers(ours.artifacts.read("x")) == [2]
        with pytest.raises(kayak.InvalidInputError, match="must be among those that were seen"):
            ours.artifacts.write("x", seen, seen=None)
        assert len(files(tmp_path / "s")) == 1
        ours.artifacts.write("x", [part(4)], seen=None)
        assert numbers(theirs.artifacts.read("x")) == [4]


@pytest.mark.parametrize(
    ("name", "facts", "array", "message"),
    [
        ("", {}, np.ones(1), "no name of an artifact"),
        ("../x", {}, np.ones(1), "no name of an artifact"),
        ("X", {}, np.ones(1), "no name of an artifact"),
        ("x" * 101, {}, np.ones(1), "no name of an artifact"),
        (3, {}, np.ones(1), "no name of an artifact"),
        ("x", {"a": object()}, np.ones(1), "must be JSON values"),
        ("x", {"a": float("nan")}, np.ones(1), "must be JSON values"),
        ("x", {}, np.array(["text"]), "must hold numbers"),
        ("x", {}, np.array([None]), "must hold numbers"),
    ],
)
def test_malformed_artifacts_are_refused(tmp_path: Path, name: Any, facts: Any, array: Any, message: str) -> None:
    with filled(tmp_path / "s") as store:
        with pytest.raises(kayak.InvalidInputError, match=message):
            store.artifacts.write(name, [kayak.ArtifactPart(facts, {"a": array})])
        assert store.artifacts.names() == ()


def test_a_closed_store_reads_no_artifacts(tmp_path: Path) -> None:
    store = filled(tmp_path / "s")
    shelf = store.artifacts
    store.close()
    with pytest.raises(kayak.StoreClosedError):
        shelf.read("x")


def test_document_keys_follow_the_vectors(tmp_path: Path) -> None:
    with filled(tmp_path / "s", "abcd") as store:
        first = store.load_index()
        assert first.origin is not None
        assert len(set(first.origin.document_keys.tolist())) == 4
        vectors = {doc_id: first.document_token_matrix(i) for i, doc_id in enumerate(first.doc_ids)}
        store.upsert(kayak.documents(["b"], [vectors["b"] + 1.0]))
        store.upsert(kayak.documents(["c"], [vectors["c"]], texts=["new text, old vectors"]))
        store.delete(["d"])
        store.upsert(kayak.documents(["d"], [vectors["d"]]))
        store.compact()
        second = store.load_index(doc_ids=["d", "c", "b", "a"])
        assert second.origin is not None
        before = dict(zip(first.doc_ids, first.origin.document_keys.tolist(), strict=True))
        after = dict(zip(second.doc_ids, second.origin.document_keys.tolist(), strict=True))
        assert after["a"] == before["a"]
        assert after["c"] == before["c"]
        assert after["b"] != before["b"]
        assert after["d"] not in before.values()
        chosen = second.select(["a", "d"]).with_texts(["x", "y"])
        assert chosen.origin is not None
        assert chosen.origin.document_keys.tolist() == [after["a"], after["d"]]


def test_an_index_of_no_store_has_no_origin() -> None:
    index = kayak.documents(["a", "b"], [np.ones((1, DIM)), np.ones((2, DIM))]).pack()
    assert index.origin is None
    assert index.select(["b"]).origin is None


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A closed store with an artifact of one part."""
    with filled(tmp_path / "s") as store:
        store.artifacts.write("x", [part(5)])
    return tmp_path / "s"


def the_part(path: Path) -> Path:
    return path / "artifacts" / files(path)[0]


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def test_flipped_bytes_are_found(damaged: Path) -> None:
    whole = the_part(damaged).read_bytes()
    messages = []
    for position in random.Random(0).sample(range(len(whole)), 200):
        flip(the_part(damaged), position)
        with kayak.DirectoryLateStore(damaged) as store:
            try:
                assert numbers(store.artifacts.read("x")) == [5]  # the byte lay between two arrays
                assert store.verify().document_count == 3
            except kayak.StoreCorruptError as error:
                messages.append(str(error))
                with pytest.raises(kayak.StoreCorruptError):
                    store.verify()
        the_part(damaged).write_bytes(whole)
    assert len(messages) > 160
    assert all(str(the_part(damaged)) in message and "build it again" in message for message in messages)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"),
        (lambda path: path.write_bytes(b""), "bytes instead of"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "bytes instead of"),
        (lambda path: path.unlink(), "it is missing"),
    ],
)
def test_truncated_and_missing_parts(damaged: Path, change: Callable[[Path], Any], message: str) -> None:
    change(the_part(damaged))
    with kayak.DirectoryLateStore(damaged) as store:
        with pytest.raises(kayak.StoreCorruptError, match=message):
            store.artifacts.read("x")
        assert store.load_index().document_count == 3, "the documents are whole"
        store.artifacts.write("x", [part(6)], seen=None)
        assert numbers(store.artifacts.read("x")) == [6]


def test_a_part_of_another_artifact_is_not_taken_for_this_one(damaged: Path) -> None:
    with kayak.DirectoryLateStore(damaged) as store:
        store.artifacts.write("y", [part(7)])
    one, other = (damaged / "artifacts" / name for name in files(damaged))
    swapped = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(swapped)
    with kayak.DirectoryLateStore(damaged) as store:
        for name in ("x", "y"):
            with pytest.raises(kayak.StoreCorruptError, match="header does not match"):
                store.artifacts.read(name)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE artifacts SET byte_size = byte_size + 1",
        "UPDATE artifacts SET file = 'other.part'",
        "UPDATE artifacts SET name = 'z'",
    ],
)
def test_an_edited_catalog_is_found(damaged: Path, statement: str) -> None:
    connection = sqlite3.connect(damaged / "catalog.sqlite", isolation_level=None)
    connection.execute(statement)
    connection.close()
    with kayak.DirectoryLateStore(damaged) as store, pytest.raises(kayak.StoreCorruptError, match="table `artifacts`"):
        store.artifacts.read("x")


def test_a_foreign_table_of_that_name_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "s").close()
    connection = sqlite3.connect(tmp_path / "s" / "catalog.sqlite", isolation_level=None)
    connection.execute("CREATE TABLE artifacts (other)")
    connection.close()
    with pytest.raises(kayak.StoreCorruptError, match="tables are not those"):
        kayak.DirectoryLateStore(tmp_path / "s")


def test_what_killed_writers_left_is_removed_by_the_next_one(damaged: Path) -> None:
    orphan = damaged / "artifacts" / "0123.part"
    orphan.write_bytes(b"half of a part")
    with kayak.DirectoryLateStore(damaged) as store:
        assert numbers(store.artifacts.read("x")) == [5]
        assert orphan.exists(), "readers remove nothing"
        store.delete(["a"])
        assert not orphan.exists()
        assert numbers(store.artifacts.read("x")) == [5]


def test_a_failed_write_leaves_what_was_there(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = artifacts_module.write_part

    def failing(folder: Path, each: kayak.ArtifactPart) -> Any:
        if each.facts["number"] == 8:
            raise kayak.StorePathError("the disk is full")
        return written(folder, each)

    monkeypatch.setattr(artifacts_module, "write_part", failing)
    with kayak.DirectoryLateStore(damaged) as store:
        with pytest.raises(kayak.StorePathError, match="the disk is full"):
            store.artifacts.write("x", [part(7), part(8)], seen=store.artifacts.read("x"))
        assert numbers(store.artifacts.read("x")) == [5]
    with kayak.DirectoryLateStore(damaged) as store:
        store.delete(["a"])
    assert len(files(damaged)) == 1


def test_readers_see_whole_artifacts_while_one_writes(damaged: Path) -> None:
    stop = threading.Event()
    wrong: list[Any] = []

    def read() -> None:
        with kayak.DirectoryLateStore(damaged, read_only=True) as store:
            while not stop.is_set():
                found = numbers(store.artifacts.read("x"))
                if found != [5] and found != [found[0], found[0] + 1]:
                    wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    with kayak.DirectoryLateStore(damaged) as store:
        for number in range(60):
            store.artifacts.write("x", [part(number), part(number + 1)], seen=store.artifacts.read("x"))
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong


def write_until_killed(path: str) -> None:
    """Replace an artifact again and again, keeping its first part; say the number of each that was acknowledged."""
    with kayak.DirectoryLateStore(path) as store:
        for number in itertools.count(max([0, *(each.facts["number"] for each in store.artifacts.read("x"))]) + 1):
            seen = store.artifacts.read("x")
            kept = [part(0)] if not seen or number % 3 == 0 else [seen[0]]
            store.artifacts.write("x", [*kept, part(number, 20_000)], seen=seen)
            print(number, flush=True)


def test_a_kill_leaves_the_state_before_or_after(tmp_path: Path) -> None:
    path = tmp_path / "s"
    filled(path).close()
    chance = random.Random(1)
    for _ in range(8):
        writer = subprocess.Popen([sys.executable, __file__, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        acknowledged = int(writer.stdout.readline())  # it is at work now
        delay = threading.Event()
        delay.wait(chance.random() * 0.05)  # the random instant is what is tested
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.stdout.close()
        writer.wait()
        acknowledged = max([acknowledged, *map(int, rest)])
        with kayak.DirectoryLateStore(path) as store:
            first, last = numbers(store.artifacts.read("x"))
            assert first == 0
            assert last in (acknowledged, acknowledged + 1)
            store.verify()
            store.delete(["nobody"])
            assert len(files(path)) == 2, "the next writer removes what was left"


if __name__ == "__main__":
    write_until_killed(sys.argv[1])
