"""What grows with the store and what does not, counted rather than timed."""

from __future__ import annotations

import re
from pathlib import Path

import kayak
import numpy as np
import pytest

PROC = Path("/proc/self")
linux = pytest.mark.skipif(not (PROC / "io").exists(), reason="counts through /proc, which only Linux has")


def bytes_through_system_calls() -> int:
    """Bytes that this process has read and written through system calls so far."""
    fields = dict(line.split(": ") for line in (PROC / "io").read_text().splitlines())
    return int(fields["rchar"]) + int(fields["wchar"])


def resident_bytes(path: Path) -> int:
    """Bytes of a mapped file that this process has touched."""
    text = (PROC / "smaps").read_text()
    blocks = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", text)
    mine = [block for block in blocks if block.partition("\n")[0].endswith(str(path))]
    assert mine, f"{path} is not mapped"
    return sum(int(kilobytes) * 1024 for block in mine for kilobytes in re.findall(r"(?m)^Rss: +(\d+)", block))


@linux
def test_the_cost_of_an_upsert_follows_the_batch(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((100, 20, 64)).astype(np.float32)
    costs = []
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        for number in range(200):
            ids = [f"document-{number:03}-{i:03}" for i in range(100)]
            batch = kayak.documents(ids, vectors, texts=ids)
            metadata = [{"batch": number, "even": i % 2 == 0} for i in range(100)]
            before = bytes_through_system_calls()
            store.upsert(batch, metadata=metadata)
            costs.append(bytes_through_system_calls() - before)
        assert store.stats().document_count == 20_000
        assert sum(costs[-50:]) <= 1.3 * sum(costs[:50])
        assert min(costs) > vectors.nbytes
        # Replacing documents that lie scattered among 20,000 reads and writes some catalog pages for each of them.
        before = bytes_through_system_calls()
        store.upsert(kayak.documents([f"document-{i:03}-007" for i in range(100)], vectors))
        assert bytes_through_system_calls() - before < vectors.nbytes + 100 * 30 * 4096 < 200 * vectors.nbytes / 5


@linux
def test_loading_an_index_touches_no_vectors(tmp_path: Path) -> None:
    path = tmp_path / "s"
    vectors = np.random.default_rng(0).standard_normal((400, 50, 128)).astype(np.float32)
    ids = [f"d{i}" for i in range(400)]
    with kayak.DirectoryLateStore(path) as store:
        store.upsert(kayak.documents(ids, vectors, texts=ids), metadata=[{"n": i} for i in range(400)])
        store.delete(["d7", "d8", "d100"])
    (segment,) = (path / "segments").iterdir()
    with kayak.DirectoryLateStore(path) as store:
        before = bytes_through_system_calls()
        index = store.load_index(include_text=True)
        some = store.load_index(where={"n": {"$lt": 20}}, doc_ids=ids[::-1])
        assert store.stats().document_count == index.document_count == 397
        assert bytes_through_system_calls() - before < vectors.nbytes / 20
        assert resident_bytes(segment) == 0
        some.as_packed_token_matrix()
        touched = resident_bytes(segment)
        assert 18 * 50 * 128 * 4 <= touched < vectors.nbytes / 4
        index.as_packed_token_matrix()
        assert resident_bytes(segment) > 0.9 * vectors.nbytes


@linux
def test_a_second_load_of_an_unchanged_store_reads_next_to_nothing(tmp_path: Path) -> None:
    ids = [f"d{i}" for i in range(5000)]
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        store.upsert(kayak.documents(ids, np.ones((5000, 1, 4), dtype=np.float32)))
        store.load_index()
        before = bytes_through_system_calls()
        store.load_index()
        assert bytes_through_system_calls() - before < 20_000


def test_memory_of_an_export_is_bounded_by_the_batch(tmp_path: Path) -> None:
    import tracemalloc

    vectors = np.ones((2000, 10, 128), dtype=np.float32)
    with kayak.DirectoryLateStore(tmp_path / "s") as store:
        store.upsert(kayak.documents([f"d{i}" for i in range(2000)], vectors))
        size = 20 * 10 * 128 * 4
        tracemalloc.start()
        count = sum(batch.document_count for batch in store.documents(batch_size=20))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert count == 2000
    assert peak < 8 * size + 2_000_000 < vectors.nbytes
