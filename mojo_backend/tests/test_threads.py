"""Threads: the same bits whatever their number, no more of them than allowed, errors that arrive, forks that work."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import kayak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kayak_mojo import executor as executor_module
from kayak_mojo import threads
from kayak_mojo.executor import MojoExactCpuExecutor
from kayak_mojo.packing import running_counts, split_documents
from kayak_mojo.threads import Piece, share, thread_limit

GENERATOR = np.random.default_rng(1)
LENGTHS = [*GENERATOR.integers(1, 60, size=300).tolist(), 4000, 1, 1, 700]
OFFSETS = np.cumsum([0, *LENGTHS])
BLOCK = kayak.IndexBlock(OFFSETS, GENERATOR.standard_normal((int(OFFSETS[-1]), 48), dtype=np.float32))
QUERY_OFFSETS = np.array([0, 32, 33, 80])
QUERIES = GENERATOR.standard_normal((80, 48), dtype=np.float32)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> MojoExactCpuExecutor:
    """An executor that hands even little work to other threads."""
    monkeypatch.setattr(executor_module, "SHARED_WORK", 40_000)
    monkeypatch.setattr(executor_module, "PIECE_WORK", 20_000)
    return MojoExactCpuExecutor()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_the_number_of_threads_changes_no_bit(
    dtype: str, shared: MojoExactCpuExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [str(number) for number in range(len(LENGTHS))]
    block = kayak.packed_index(ids, OFFSETS, BLOCK.vectors).to_vector_dtype(dtype).slices[0].block
    backwards = np.arange(len(LENGTHS), dtype=np.int64)[::-1]
    results = []
    for count in (1, 2, 3, 7):
        monkeypatch.setenv("KAYAK_NUM_THREADS", str(count))
        for positions in (None, backwards):
            found = shared.maxsim(QUERIES, QUERY_OFFSETS, block, positions)
            results.append(found if positions is None else np.ascontiguousarray(found[:, ::-1]))
    assert len({result.tobytes() for result in results}) == 1


def test_helpers_are_used_up_to_the_limit_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_budget", threads._Budget())

    def threads_of(limit: int) -> set[int]:
        seen: set[int] = set()
        meeting = threading.Barrier(limit)

        def work(pieces: Iterable[Piece]) -> None:
            for _ in pieces:
                if threading.get_ident() not in seen:
                    seen.add(threading.get_ident())
                    meeting.wait(60)  # passes only when `limit` threads have begun

        share(work, [(i, i + 1) for i in range(20 * limit)], limit)
        return seen

    assert [len(threads_of(limit)) for limit in (1, 2, 5, 3)] == [1, 2, 5, 3]


def test_many_user_threads_get_no_more_helpers_than_are_free() -> None:
    limit, users = 3, 8
    lock = threading.Lock()
    computing, most, helped = 0, 0, 0
    begun = threading.Barrier(users)

    def work(pieces: Iterable[Piece]) -> None:
        nonlocal computing, most, helped
        with lock:
            computing += 1
            most = max(most, computing)
            helped += threading.current_thread().name.startswith("kayak-mojo")
        for _ in pieces:
            pass
        if not threading.current_thread().name.startswith("kayak-mojo"):
            begun.wait(60)  # all users compute at the same time
        with lock:
            computing -= 1

    with ThreadPoolExecutor(users) as pool:
        for future in [pool.submit(share, work, [(0, 1), (1, 2)], limit) for _ in range(users)]:
            future.result()
    # Users that come first may get helpers; from the third thread on nobody does.
    assert helped <= limit - 1
    assert most <= users + limit - 1
    assert threads._budget._computing == 0


def test_many_user_threads_get_what_one_gets(shared: MojoExactCpuExecutor) -> None:
    expected = shared.maxsim(QUERIES, QUERY_OFFSETS, BLOCK, None).tobytes()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: shared.maxsim(QUERIES, QUERY_OFFSETS, BLOCK, None).tobytes(), range(40)))
    assert set(found) == {expected}
    assert threads._budget._computing == 0


@pytest.mark.parametrize("place", ["helper", "caller"])
def test_errors_arrive_and_stop_the_others(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    queues: list[Any] = []

    class Watched(deque):  # type: ignore[type-arg]
        def __init__(self, items: Iterable[Piece]) -> None:
            super().__init__(items)
            queues.append(self)

    caller = threading.get_ident()
    done: list[Piece] = []
    both = threading.Barrier(2)

    def work(pieces: Iterable[Piece]) -> None:
        mine = "caller" if threading.get_ident() == caller else "helper"
        for number, piece in enumerate(pieces):
            if number == 0:
                both.wait(60)
                if mine == place:
                    raise MemoryError(f"in the {place}")
                deadline = time.monotonic() + 60
                while queues[0]:  # until the failing thread has taken back what is left
                    assert time.monotonic() < deadline
            done.append(piece)

    monkeypatch.setattr(threads, "deque", Watched)
    with pytest.raises(MemoryError, match=f"in the {place}"):
        share(work, [(i, i + 1) for i in range(1000)], 2)
    assert len(done) == 1
    assert threads._budget._computing == 0
    assert MojoExactCpuExecutor().maxsim(QUERIES, QUERY_OFFSETS, BLOCK, None).shape == (3, len(LENGTHS))


def test_work_is_done_alone_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = threads._Budget()

    def refuse(*_: object) -> None:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(threads, "_budget", budget)
    monkeypatch.setattr(budget, "submit", refuse)
    done: list[Piece] = []
    share(done.extend, [(0, 1), (1, 2), (2, 3)], 4)
    assert done == [(0, 1), (1, 2), (2, 3)]
    assert budget._computing == 0


def test_searching_while_the_interpreter_ends() -> None:
    code = """
import atexit, numpy as np, kayak
from kayak_mojo import executor
executor.PIECE_WORK = executor.SHARED_WORK = 1000
index = kayak.documents([str(i) for i in range(50)], [np.ones((9, 16))] * 50).pack()
search = lambda: kayak.search(kayak.query(np.ones((4, 16))), index, k=1, backend="mojo_exact_cpu")
search()
atexit.register(lambda: print(search()[0].doc_id))
"""
    environment = os.environ | {"KAYAK_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork exists on POSIX only")
def test_a_fork_after_use_and_during_use_has_threads_of_its_own(
    shared: MojoExactCpuExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAYAK_NUM_THREADS", "3")
    expected = shared.maxsim(QUERIES, QUERY_OFFSETS, BLOCK, None).tobytes()
    stop = threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            shared.maxsim(QUERIES, QUERY_OFFSETS, BLOCK, None)

    busy = [threading.Thread(target=keep_busy) for _ in range(2)]
    for thread in busy:
        thread.start()
    context = multiprocessing.get_context("fork")
    try:
        for _ in range(5):
            ours, theirs = context.Pipe(duplex=False)

            def answer(pipe: Any = theirs) -> None:
                scores = shared.maxsim(QUERIES, QUERY_OFFSETS, BLOCK, None).tobytes()
                names = [t.name for t in threading.enumerate() if t.name.startswith("kayak-mojo")]
                pipe.send((scores, len(names)))

            child = context.Process(target=answer)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: that is the test
                child.start()
            try:
                assert ours.poll(60), "the forked child gave no answer"
                scores, helpers = ours.recv()
            finally:
                child.kill()
                child.join()
            assert scores == expected
            assert helpers in (1, 2)  # one where the first had finished before the second was wanted
    finally:
        stop.set()
        for thread in busy:
            thread.join()


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5", "", " "])
def test_an_invalid_number_of_threads_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAYAK_NUM_THREADS", value)
    with pytest.raises(kayak.InvalidInputError, match=f"KAYAK_NUM_THREADS must be a whole number ≥ 1, got '{value}'"):
        thread_limit()
    info = MojoExactCpuExecutor().backend_info()
    assert not info.available
    assert "KAYAK_NUM_THREADS" in info.availability_reason
    index = kayak.documents(["a"], [np.eye(2)]).pack()
    with pytest.raises(kayak.BackendUnavailableError, match="KAYAK_NUM_THREADS must be"):
        kayak.maxsim(kayak.query(np.eye(2)), index, backend=kayak.MOJO_EXACT_CPU_BACKEND)


def test_the_default_is_the_processors_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert thread_limit() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert thread_limit() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert thread_limit() == 1
    monkeypatch.setenv("KAYAK_NUM_THREADS", " 4 ")
    assert thread_limit() == 4
    assert "4 threads" in MojoExactCpuExecutor().backend_info().detail


@given(st.lists(st.integers(1, 50), min_size=1, max_size=80), st.integers(1, 40), st.randoms())
def test_pieces_cover_all_documents_and_are_cut_by_vectors(lengths: list[int], wanted: int, random: Any) -> None:
    offsets = np.cumsum([7, *lengths])
    positions = list(range(len(lengths)))
    random.shuffle(positions)
    for order in (None, np.array(positions, dtype=np.int64)):
        counts = running_counts(offsets, order)
        pieces = split_documents(counts, wanted)
        assert 1 <= len(pieces) <= wanted
        assert [document for first, stop in pieces for document in range(first, stop)] == list(range(len(lengths)))
        share_of_each = sum(lengths) / wanted
        for first, stop in pieces:
            assert stop > first
            assert counts[stop] - counts[first] < share_of_each + 2 * max(lengths)
