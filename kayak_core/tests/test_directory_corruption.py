"""Altered bytes: a clear error or the right answer, never a wrong one."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import kayak
import numpy as np
import pytest
from kayak.builtin.directory import faults, rows, schema
from kayak.errors import (
    EmptySelectionError,
    InvalidInputError,
    StoreCorruptError,
    StorePathError,
    StoreVersionError,
)

QUERY = kayak.query(np.ones((2, 8), dtype=np.float32))


def make(ids: list[str], seed: int = 0) -> kayak.LateDocuments:
    rng = np.random.default_rng(seed)
    matrices = [rng.standard_normal((int(rng.integers(1, 5)), 8)).astype(np.float32) for _ in ids]
    return kayak.documents(ids, matrices, texts=[f"the text of {doc_id} " * 5 for doc_id in ids])


def fill(path: Path, vector_dtype: str = "float32", *, close: bool = True) -> kayak.DirectoryLateStore:
    store = kayak.DirectoryLateStore(path, vector_dtype=vector_dtype)
    for number in range(4):
        ids = [f"doc-{number}-{i}" for i in range(40)]
        store.upsert(make(ids, number), metadata=[{"n": i, "t": "ab"[i % 2], "l": [i % 3]} for i in range(40)])
    store.delete([f"doc-1-{i}" for i in range(0, 40, 4)])
    store.upsert(make(["doc-2-3", "doc-2-4"], 9))
    store.set_encoder_fingerprint("encoder")
    if close:
        store.close()
    return store


def answers(store: kayak.DirectoryLateStore) -> list[Any]:
    """What a user can ask, as plain values."""
    found: list[Any] = [store.stats().document_count, store.encoder_fingerprint()]
    selections: list[dict[str, Any]] = [
        {"include_text": True},
        {"where": {"n": 7}},
        {"where": {"t": "a", "n": {"$gte": 20}}},
        {"where": {"l": {"$eq": [1]}}},
        {"where": {"n": {"$ne": 3}}, "include_text": True},
        {"where": {"missing": {"$exists": False}}},
        {"doc_ids": ["doc-2-3", "doc-0-0", "doc-3-39", "unknown"], "include_text": True},
    ]
    for selection in selections:
        index = store.load_index(**selection)
        found.append((index.doc_ids, index.doc_texts, kayak.maxsim(QUERY, index).numpy().tobytes()))
    for batch in store.documents(batch_size=50):
        matrices = [matrix.tobytes() for matrix in batch.token_matrices]
        found.append((batch.doc_ids, batch.texts, matrices, repr(batch.metadata)))
    return found


@pytest.fixture(scope="module", params=["float32", "int8"])
def vector_dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory, vector_dtype: str) -> Path:
    path = tmp_path_factory.mktemp("closed") / "s"
    fill(path, vector_dtype)
    return path


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, vector_dtype: str) -> Path:
    """A store as a killed process leaves it, with its write-ahead log."""
    path = tmp_path_factory.mktemp("killed") / "s"
    store = fill(path.with_name("open"), vector_dtype, close=False)
    shutil.copytree(path.with_name("open"), path)
    store.close()
    return path


@pytest.fixture(scope="module")
def right(closed: Path) -> list[Any]:
    copy = closed.with_name("copy")
    shutil.copytree(closed, copy)
    with kayak.DirectoryLateStore(copy) as store:
        return answers(store)


def damage(data: bytearray, chance: random.Random) -> str:
    """Alter bytes in one of the ways in which disks, copies and people do."""
    kind = chance.choice(["flip", "flip", "flip", "byte", "truncate", "zero", "copy", "append"])
    place = chance.randrange(len(data))
    size = chance.choice([1, 16, 512, 4096])
    if kind == "flip":
        for _ in range(chance.choice([1, 1, 1, 4, 32])):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == "byte":
        data[place] = chance.randrange(256)
    elif kind == "truncate":
        del data[place:]
    elif kind == "zero":
        data[place : place + size] = bytes(len(data[place : place + size]))
    elif kind == "copy":
        source = chance.randrange(len(data))
        data[place : place + size] = data[source : source + size]
    else:
        data += chance.randbytes(size)
    return f"{kind} at {place}"


@pytest.mark.parametrize("state", ["closed", "killed"])
@pytest.mark.parametrize("rounds", [60, pytest.param(1500, marks=pytest.mark.soak)])
def test_fuzzed_files_never_change_an_answer(
    request: pytest.FixtureRequest, tmp_path: Path, right: list[Any], state: str, rounds: int
) -> None:
    original: Path = request.getfixturevalue(state)
    names = sorted(p.relative_to(original) for p in original.rglob("*") if p.is_file())
    assert {"acknowledged", "catalog.sqlite"} < {str(name) for name in names}
    assert (state == "killed") == (Path("catalog.sqlite-wal") in names)
    chance = random.Random(rounds)
    outcomes = {"right": 0, "refused": 0}
    for number in range(rounds):
        copy = tmp_path / "copy"
        shutil.copytree(original, copy)
        name = names[number % len(names)]
        data = bytearray((copy / name).read_bytes())
        what = f"{name}: {damage(data, chance)}"
        (copy / name).write_bytes(data)
        try:
            with kayak.DirectoryLateStore(copy, busy_timeout=1) as store:
                found = answers(store)
        except (StoreCorruptError, StoreVersionError, StorePathError):
            outcomes["refused"] += 1
        else:
            assert found == right, what
            outcomes["right"] += 1
        shutil.rmtree(copy)
    assert min(outcomes.values()) > rounds // 10


def test_writing_to_a_fuzzed_catalog_never_changes_an_answer(tmp_path: Path, closed: Path, right: list[Any]) -> None:
    chance = random.Random(5)
    survived = 0
    for _ in range(60):
        copy = tmp_path / "copy"
        shutil.copytree(closed, copy)
        data = bytearray((copy / "catalog.sqlite").read_bytes())
        what = damage(data, chance)
        (copy / "catalog.sqlite").write_bytes(data)
        with contextlib.suppress(StoreCorruptError, StoreVersionError, StorePathError):
            with kayak.DirectoryLateStore(copy, busy_timeout=1) as store:
                store.upsert(make(["doc-0-1", "new"], 20), metadata=[{"n": 1}, {"n": -1}])
                store.delete(["doc-0-1", "new"])
            with kayak.DirectoryLateStore(copy, busy_timeout=1) as store:
                index = store.load_index()
                assert index.doc_ids == tuple(doc_id for doc_id in right[2][0] if doc_id != "doc-0-1"), what
                assert "new" not in store.load_index(where={"n": {"$lte": 1}}).doc_ids, what
                index.as_packed_token_matrix()
                survived += 1
        shutil.rmtree(copy)
    assert 5 < survived < 55


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


@pytest.fixture
def copy(closed: Path, tmp_path: Path) -> Path:
    path = tmp_path / "s"
    shutil.copytree(closed, path)
    return path


def segment_of(path: Path) -> Path:
    (segment,) = (path / "segments").iterdir()
    return segment


USES: dict[str, Callable[[kayak.DirectoryLateStore, kayak.LateIndex], Any]] = {
    "maxsim": lambda _, index: kayak.maxsim(QUERY, index),
    "packed": lambda _, index: index.as_packed_token_matrix(),
    "document": lambda _, index: index.document_token_matrix(0),
    "export": lambda store, _: list(store.documents()),
    "candidates": lambda store, _: store.search_candidates(QUERY, k=3),
}


@pytest.mark.parametrize("use", USES)
def test_a_flipped_vector_byte_is_found_on_first_use(copy: Path, use: str) -> None:
    flip(segment_of(copy), 64 + 5)
    with kayak.DirectoryLateStore(copy) as store:
        index = store.load_index()
        with pytest.raises(StoreCorruptError, match="'doc-0-0' do not match their checksum") as caught:
            USES[use](store, index)
        assert str(segment_of(copy)) in str(caught.value)
        assert "delete and upsert that document again" in str(caught.value)
        others = store.load_index(doc_ids=["doc-0-1", "doc-3-7"])
        assert kayak.maxsim(QUERY, others).numpy().shape == (2,)


def test_appending_to_a_segment_checks_nothing_off(copy: Path) -> None:
    flip(segment_of(copy), 64 + 5)
    with kayak.DirectoryLateStore(copy) as store:
        store.load_index(doc_ids=["doc-0-1"]).as_packed_token_matrix()
        store.upsert(make(["new"]))
        store.load_index(doc_ids=["doc-0-1", "new"]).as_packed_token_matrix()
        with pytest.raises(StoreCorruptError, match="'doc-0-0' do not match their checksum"):
            store.load_index().as_packed_token_matrix()


def test_verify_lists_all_damaged_documents_and_replacing_them_repairs(copy: Path, vector_dtype: str) -> None:
    row_bytes = {"float32": 32, "int8": 12}[vector_dtype]
    with kayak.DirectoryLateStore(copy) as store:
        report = store.verify()
        assert report.document_count == store.stats().document_count
        assert report.vector_byte_size == report.vector_count * row_bytes
        assert report.segment_count == 1
        index = store.load_index(doc_ids=["doc-0-0", "doc-0-1"])
        first_rows = index.slices[0].block.offsets[index.slices[0].positions]
    for row in first_rows.tolist():
        flip(segment_of(copy), 64 + row * row_bytes)
    with kayak.DirectoryLateStore(copy) as store:
        with pytest.raises(StoreCorruptError, match=r"2 of 150 documents .*: 'doc-0-0', 'doc-0-1'\.") as caught:
            store.verify()
        assert caught.value.__notes__ == ["Damaged documents: ['doc-0-0', 'doc-0-1']"]
        with pytest.raises(StoreCorruptError, match="delete that document and compact again"):
            store.compact()
        store.delete(["doc-0-0"])
        store.upsert(make(["doc-0-1"], 33))
        store.verify()
        store.compact()
        store.verify()


def test_verify_names_only_the_first_of_many(copy: Path) -> None:
    segment = segment_of(copy)
    segment.write_bytes(segment.read_bytes()[:64] + bytes(segment.stat().st_size - 64))
    with kayak.DirectoryLateStore(copy) as store, pytest.raises(StoreCorruptError, match=r"'doc-0-9' …") as caught:
        store.verify()
    assert "doc-3-39" in caught.value.__notes__[0]
    assert "doc-3-39" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-1]), r"bytes instead of at least"),
        (lambda p: p.write_bytes(b""), r"it has 0 bytes instead of at least"),
        (lambda p: p.unlink(), "it is missing"),
        (lambda p: flip(p, 0), "its header is not that of segment 1 with (float32|int8) vectors of dimension 8"),
        (lambda p: flip(p, 24), "its header is not that of segment 1"),
    ],
)
def test_truncated_missing_and_foreign_segments(copy: Path, change: Callable[[Path], Any], message: str) -> None:
    change(segment_of(copy))
    with kayak.DirectoryLateStore(copy) as store:
        uses: list[Callable[[], Any]] = [
            store.load_index,
            store.verify,
            store.compact,
            lambda: list(store.documents()),
            lambda: store.upsert(make(["new"])),
        ]
        for use in uses:
            with pytest.raises(StoreCorruptError, match=message):
                use()


def test_segments_that_changed_places(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with kayak.DirectoryLateStore(path, segment_bytes=1) as store:
        store.upsert(kayak.documents(["a"], [np.ones((2, 8))]))
        store.upsert(kayak.documents(["b"], [np.zeros((2, 8))]))
    one, two = sorted((path / "segments").iterdir())
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    with kayak.DirectoryLateStore(path) as store, pytest.raises(StoreCorruptError, match="its header is not that of"):
        store.load_index()


def edit(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path / "catalog.sqlite", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE meta SET document_count = 3", "`meta` does not match its checksum"),
        ("DELETE FROM meta", "`meta` has 0 rows instead of 1"),
        ("UPDATE documents SET location = zeroblob(40) WHERE ordinal = 5", "a row of its table `documents`"),
        ("UPDATE documents SET location = 'x' WHERE ordinal = 5", "a row of its table `documents`"),
        ("UPDATE documents SET id = x'00ff' WHERE ordinal = 5", "a row of its table `documents`"),
        ("DELETE FROM documents WHERE ordinal = 5", "lacks rows or has too many"),
        ("DELETE FROM segments", "`segments` does not match its checksum"),
        ("UPDATE segments SET row_count = 'x'", "`segments` does not match its checksum"),
        ("UPDATE contents SET text = 'other' WHERE ordinal = 5", "text or metadata of document 'doc-0-5'"),
        ("UPDATE contents SET metadata = x'00' WHERE ordinal = 5", "text or metadata of document 'doc-0-5'"),
        ("DELETE FROM contents WHERE ordinal = 5", "text or metadata of document 'doc-0-5'"),
        ("UPDATE filter_keys SET value_count = 3 WHERE key_id = 1", "`filter_keys` does not match"),
        ("DELETE FROM filter_keys WHERE key_id = 1", "`filter_keys` does not match"),
        ("DELETE FROM filter_values WHERE ordinal = 5", "filter index of metadata key 'n'"),
        ("UPDATE filter_values SET value = 99 WHERE ordinal = 5 AND tag = 2", "filter index of metadata key 'n'"),
        ("UPDATE filter_values SET value = x'00' WHERE ordinal = 5 AND tag = 2", "filter index of metadata key 'n'"),
        ("CREATE TABLE more (x)", "its tables are not those of a kayak store"),
        ("DROP TABLE contents", "its tables are not those of a kayak store"),
        ("PRAGMA user_version = 0", "its tables are not those of a kayak store"),
        ("PRAGMA application_id = 7", "its application id is 0x7"),
    ],
)
def test_an_edited_catalog(copy: Path, statement: str, message: str) -> None:
    edit(copy, statement)
    with pytest.raises(StoreCorruptError, match=message) as caught, kayak.DirectoryLateStore(copy) as store:
        answers(store)
    assert "Restore the folder from a backup" in str(caught.value)
    with pytest.raises(StoreCorruptError), kayak.DirectoryLateStore(copy) as store:
        store.verify()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE contents SET text = 'other' WHERE ordinal = 5",
        "UPDATE documents SET row_crc = 0 WHERE ordinal = 5",
        "UPDATE documents SET location = 'x' WHERE ordinal = 5",
        "DELETE FROM filter_values WHERE ordinal = 5",
        "UPDATE filter_keys SET value_count = 3 WHERE key = 'n'",
    ],
)
def test_replacing_a_document_whose_row_was_edited(copy: Path, statement: str) -> None:
    edit(copy, statement)
    with kayak.DirectoryLateStore(copy) as store:
        for write in (lambda: store.upsert(make(["doc-0-5"])), lambda: store.delete(["doc-0-5"])):
            with pytest.raises(StoreCorruptError):
                write()


def test_compacting_an_edited_catalog(copy: Path) -> None:
    edit(copy, "UPDATE documents SET location = zeroblob(40) WHERE ordinal = 5")
    with kayak.DirectoryLateStore(copy) as store, pytest.raises(StoreCorruptError, match="table `documents`"):
        store.compact()


def forge(path: Path, change: Callable[[sqlite3.Connection, schema.Meta], schema.Meta]) -> None:
    """Change a catalog together with its checksums, as only a program of ill will or a mistake could."""
    with contextlib.closing(sqlite3.connect(path / "catalog.sqlite")) as connection:
        schema.write_meta(connection, change(connection, schema.read_meta(connection, path)))
        connection.commit()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"first_row": 0}, "its documents overlap or leave segment 1"),
        ({"first_row": 10**9}, "its documents overlap or leave segment 1"),
        ({"first_row": -1}, "its documents overlap or leave segment 1"),
        ({"segment": 7}, "a document lies in a segment that is not listed"),
        ({"vector_count": 1000}, "its table `documents` does not match the totals"),
    ],
)
def test_a_forged_document_is_never_read_from_elsewhere(copy: Path, changes: dict[str, Any], message: str) -> None:
    def move(connection: sqlite3.Connection, meta: schema.Meta) -> schema.Meta:
        stored = connection.execute(f"{rows.SELECT_DOCUMENTS} WHERE ordinal = 5").fetchone()
        old = rows.DocumentRow.from_sql(stored)
        new = old._replace(**changes)
        connection.execute(rows.INSERT_DOCUMENT, new.to_sql())
        total = rows.running_sum(meta.documents_sum, [new.row_crc], [old.row_crc])
        return attrs.evolve(meta, documents_sum=total)

    forge(copy, move)
    with kayak.DirectoryLateStore(copy) as store, pytest.raises(StoreCorruptError, match=message):
        store.load_index()


def test_a_forged_filter_index_names_no_documents_that_do_not_exist(copy: Path) -> None:
    def add(connection: sqlite3.Connection, meta: schema.Meta) -> schema.Meta:
        key = connection.execute("SELECT * FROM filter_keys WHERE key = 'n'").fetchone()
        connection.execute("INSERT INTO filter_values VALUES (?, 2, 7, 100000)", (key[0],))
        total = rows.running_sum(key[3], [rows.filter_value_crc(2, 7, 100_000)])
        new = (key[0], key[1], key[2] + 1, total)
        connection.execute("INSERT OR REPLACE INTO filter_keys VALUES (?, ?, ?, ?, ?)", (*new, rows.key_crc(*new)))
        return attrs.evolve(meta, keys_sum=rows.running_sum(meta.keys_sum, [rows.key_crc(*new)], [key[4]]))

    forge(copy, add)
    with kayak.DirectoryLateStore(copy) as store:
        with pytest.raises(StoreCorruptError, match="names documents that do not exist"):
            store.load_index(where={"n": 7})
        with pytest.raises(StoreCorruptError, match="does not agree with the documents' metadata"):
            store.verify()


def test_a_filter_index_out_of_order_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with kayak.DirectoryLateStore(path) as store:
        store.upsert(make([f"d{i}" for i in range(20)]), metadata=[{"n": i} for i in range(20)])
    with contextlib.closing(sqlite3.connect(path / "catalog.sqlite")) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'filter_values'").fetchone()
    data = bytearray((path / "catalog.sqlite").read_bytes())
    page = (root - 1) * size
    assert data[page] == 10  # a leaf of an index; its cells are found through two-byte pointers from byte 8 on
    assert int.from_bytes(data[page + 3 : page + 5], "big") == 20
    first, tenth = slice(page + 8, page + 10), slice(page + 28, page + 30)
    data[first], data[tenth] = data[tenth], data[first]
    (path / "catalog.sqlite").write_bytes(data)
    with kayak.DirectoryLateStore(path) as store:
        assert store.load_index().document_count == 20
        with pytest.raises(StoreCorruptError, match="filter_values"):
            store.load_index(where={"n": 10})


def test_verify_compares_the_filter_index_with_the_metadata(copy: Path) -> None:
    def empty(connection: sqlite3.Connection, meta: schema.Meta) -> schema.Meta:
        connection.execute("DELETE FROM filter_values")
        connection.execute("DELETE FROM filter_keys")
        return attrs.evolve(meta, keys_sum=0)

    forge(copy, empty)
    with kayak.DirectoryLateStore(copy) as store, pytest.raises(StoreCorruptError, match="does not agree"):
        store.verify()


def test_a_row_of_an_earlier_write_is_noticed(copy: Path) -> None:
    with contextlib.closing(sqlite3.connect(copy / "catalog.sqlite")) as connection:
        before = connection.execute("SELECT * FROM documents WHERE ordinal = 5").fetchone()
    with kayak.DirectoryLateStore(copy) as store:
        store.upsert(make(["doc-0-5"], 77))
    with contextlib.closing(sqlite3.connect(copy / "catalog.sqlite")) as connection:
        connection.execute(rows.INSERT_DOCUMENT, before)
        connection.commit()
    with kayak.DirectoryLateStore(copy) as store, pytest.raises(StoreCorruptError, match="does not match its checksum"):
        store.load_index()


def test_an_altered_id_is_noticed_wherever_it_stands(copy: Path) -> None:
    catalog = copy / "catalog.sqlite"
    content = catalog.read_bytes()
    places = [match.start() for match in re.finditer(b"doc-3-39", content)]
    assert len(places) > 2  # the table, its index and the text
    for place in places:
        catalog.write_bytes(content[:place] + b"doc-3-3:" + content[place + 8 :])
        with kayak.DirectoryLateStore(copy) as store, pytest.raises(StoreCorruptError):
            store.verify()
        with contextlib.suppress(StoreCorruptError), kayak.DirectoryLateStore(copy) as store:
            assert store.load_index(doc_ids=["doc-3-39"], include_text=True).doc_texts == make(["doc-3-39"]).texts
        with contextlib.suppress(StoreCorruptError), kayak.DirectoryLateStore(copy) as store:
            store.delete(["doc-3-39"])
            with pytest.raises(EmptySelectionError):
                store.load_index(doc_ids=["doc-3-39"])


def test_a_schema_that_is_no_text(copy: Path) -> None:
    catalog = copy / "catalog.sqlite"
    content = catalog.read_bytes()
    assert content.count(b"metadata TEXT NOT NULL\n)") == 1
    catalog.write_bytes(content.replace(b"metadata TEXT NOT NULL\n)", b"metadata TEXT NOT NULL\n\xe7"))
    for read_only in (False, True):
        with pytest.raises(StoreCorruptError, match=r"catalog\.sqlite is damaged: SQLite cannot read it"):
            kayak.DirectoryLateStore(copy, read_only=read_only)


def test_a_folder_in_place_of_a_segment(copy: Path) -> None:
    segment = segment_of(copy)
    segment.unlink()
    segment.mkdir()
    with kayak.DirectoryLateStore(copy) as store:
        with pytest.raises(StorePathError, match=r"cannot read .*Is a directory"):
            store.load_index()
        with pytest.raises(StorePathError, match=r"cannot write .*Is a directory"):
            store.upsert(make(["new"]))


def test_mistakes_in_this_package_are_not_called_damage(tmp_path: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(":memory:")) as connection,
        pytest.raises(sqlite3.ProgrammingError),
        faults.catalog_errors(tmp_path, 1.0),
    ):
        connection.execute("SELECT ?")


def test_a_lost_log_is_noticed(killed: Path, tmp_path: Path) -> None:
    for name, change in {
        "removed": lambda log: log.unlink(),
        "cut": lambda log: log.write_bytes(log.read_bytes()[: log.stat().st_size // 2]),
    }.items():
        path = tmp_path / name
        shutil.copytree(killed, path)
        change(path / "catalog.sqlite-wal")
        with pytest.raises(StoreCorruptError, match=r"its log \(catalog\.sqlite-wal\)|not|is damaged"):
            kayak.DirectoryLateStore(path)


def test_an_older_catalog_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with kayak.DirectoryLateStore(path) as store:
        store.upsert(make(["a"]))
    before = (path / "catalog.sqlite").read_bytes()
    with kayak.DirectoryLateStore(path) as store:
        store.upsert(make(["b"]))
    (path / "catalog.sqlite").write_bytes(before)
    with pytest.raises(StoreCorruptError, match="it is at write 1, but write 2 was acknowledged"):
        kayak.DirectoryLateStore(path)


@pytest.mark.parametrize("content", [None, b"", b"x" * 20, b"KAYAKGEN" + b"\xff" * 12])
def test_a_damaged_mark(copy: Path, content: bytes | None) -> None:
    mark = copy / "acknowledged"
    if content is None:
        mark.unlink()
    else:
        mark.write_bytes(content)
    with pytest.raises(StoreCorruptError, match="acknowledged is damaged"):
        kayak.DirectoryLateStore(copy)


def test_a_missing_or_foreign_catalog(copy: Path) -> None:
    catalog = copy / "catalog.sqlite"
    content = catalog.read_bytes()
    catalog.unlink()
    with pytest.raises(StoreCorruptError, match=r"holds vector segments, but catalog\.sqlite is missing"):
        kayak.DirectoryLateStore(copy)
    catalog.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreCorruptError, match="file is not a database"):
        kayak.DirectoryLateStore(copy)
    catalog.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreCorruptError), kayak.DirectoryLateStore(copy) as store:
        answers(store)


def test_a_newer_format(copy: Path) -> None:
    edit(copy, "PRAGMA user_version = 9", "UPDATE meta SET created_by = '7.2.0'")
    with pytest.raises(
        StoreVersionError,
        match=r"store format 9, written by kayak 7\.2\.0; .*formats up to 2\. Upgrade with `pip install",
    ):
        kayak.DirectoryLateStore(copy)
    edit(copy, "DROP TABLE meta")
    with pytest.raises(StoreVersionError, match="store format 9, written by kayak of a later version"):
        kayak.DirectoryLateStore(copy)


@contextlib.contextmanager
def limited(
    monkeypatch: pytest.MonkeyPatch, path: Path, limit: Callable[[sqlite3.Connection], Any]
) -> Iterator[kayak.DirectoryLateStore]:
    """Open a store whose SQLite connections have lower limits than usual."""
    connect = sqlite3.connect

    def connect_limited(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        limit(connection)
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect_limited)
        with kayak.DirectoryLateStore(path) as store:
            yield store


def test_limits_of_sqlite_leave_the_previous_state(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short_values(connection: sqlite3.Connection) -> None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 20_000)

    def few_pages(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    large = kayak.documents(["big"], [np.ones((1, 8))], texts=["x" * 30_000])
    refused = pytest.raises(InvalidInputError, match="too large for the catalog")
    with limited(monkeypatch, copy, short_values) as store, refused:
        store.upsert(large)
    with limited(monkeypatch, copy, few_pages) as store, pytest.raises(StorePathError, match="has free space"):
        store.upsert(make([f"more-{i}" for i in range(500)]))
    with kayak.DirectoryLateStore(copy) as store:
        store.verify()
        with pytest.raises(EmptySelectionError):
            store.load_index(doc_ids=["big", "more-0"])
