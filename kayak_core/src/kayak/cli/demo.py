"""`kayak demo`: a search over the docstrings of the Python standard library, from nothing to an explanation."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from kayak.cli.console import counted, note, stdout
from kayak.cli.searching import documents_by_id, text_in
from kayak.cli.stdlib_docs import DocEntry, stdlib_docs
from kayak.cli.tables import Row, alignment, profiles, ranking
from kayak.contracts import LateTextEncoder, SearchPlanResult
from kayak.environment import cache_folder
from kayak.errors import EncodingError, StoreCorruptError, StorePathError, StoreVersionError
from kayak.evaluation.text_table import bytes_text
from kayak.explanation import explain
from kayak.plugins import open_encoder
from kayak.retrieval import LateTextRetriever, open_text_retriever
from kayak.retrieval.progress import progress_bar
from kayak.searching import document_proxy_search_plan, exact_full_scan_search_plan

QUESTIONS = (
    "run a command in a subprocess and capture its output",
    "compare two sequences of lines and show the difference",
    "serialize a Python object to a JSON string",
)
_HITS = 5
_WINDOW = 200
_WINDOWS = (200, 1_000, 3_000)
_INDEX = "index"
_MARKER = "complete.json"
_BATCH = 512


@attrs.frozen
class DemoIndex:
    """The demo's store, and whether this run built it.

    Attributes:
        retriever: open on the store.
        folder: where it lies.
        built: whether this run built it.
        seconds: time that opening or building took.
    """

    retriever: LateTextRetriever
    folder: Path
    built: bool
    seconds: float


def run_demo(question: str | None, path: Path | None) -> None:
    """Index the standard library's docstrings, unless an earlier run has, and answer questions.

    Args:
        question: the only question to answer; None answers a few, then asks for more on a terminal.
        path: folder of the index; None takes the user's cache folder.

    Raises:
        StorePathError: the folder holds something else or cannot be written.
        UnsupportedOperationError: this Python has no sources of its standard library.
    """
    console = stdout()
    demo = open_demo_index(path)
    with demo.retriever:
        _introduce(console, demo)
        for each in QUESTIONS if question is None else (question,):
            answer(console, demo.retriever, each)
        last = QUESTIONS[-1] if question is None else question
        show_stages(console, demo.retriever, last)
        show_alignment(console, demo.retriever, last)
        if question is None:
            _ask(console, demo.retriever)
        _farewell(console, demo)


def open_demo_index(path: Path | None) -> DemoIndex:
    """Open the demo's index, building it where no complete one is there."""
    start = time.perf_counter()
    encoder = open_encoder("hashing")
    key = f"{platform.python_version()} {getattr(encoder, 'fingerprint', '')}"
    name = f"python-{platform.python_version()}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    folder = path or cache_folder() / "demo" / name
    marker = folder / _MARKER
    retriever = _reopened(folder, encoder) if _is_complete(marker, key) else None
    built = retriever is None
    if retriever is None:
        _make_room(folder)
        retriever = _opened(folder, encoder)
        try:
            _build(retriever)
            marker.write_text(json.dumps({"key": key}), encoding="utf-8")
        except BaseException:
            retriever.close()
            raise
    return DemoIndex(retriever, folder, built, time.perf_counter() - start)


def _opened(folder: Path, encoder: LateTextEncoder) -> LateTextRetriever:
    return open_text_retriever(encoder=encoder, store="kayak", store_kwargs={"path": str(folder / _INDEX)})


def _reopened(folder: Path, encoder: LateTextEncoder) -> LateTextRetriever | None:
    try:
        return _opened(folder, encoder)
    except (StoreCorruptError, StoreVersionError):  # a cache: nothing is lost by building it again
        note(f"the index of an earlier run in {folder} is damaged or of another format, so it is built again")
        return None


def _is_complete(marker: Path, key: str) -> bool:
    try:
        return bool(json.loads(marker.read_text(encoding="utf-8"))["key"] == key)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _make_room(folder: Path) -> None:
    """Make the folder, and remove an incomplete or outdated index of the demo from it; nothing else is touched."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = sorted({entry.name for entry in folder.iterdir()} - {_INDEX, _MARKER})
        if not foreign:
            (folder / _MARKER).unlink(missing_ok=True)
            if (folder / _INDEX).exists():
                shutil.rmtree(folder / _INDEX)
    except OSError as error:
        raise StorePathError(
            f"{folder} cannot hold the demo's index: {error}; give another folder as --path"
        ) from error
    if foreign:
        raise StorePathError(f"{folder} holds {foreign[0]!r}, which is not the demo's; give an empty folder as --path")


def _build(retriever: LateTextRetriever) -> None:
    entries: list[DocEntry] = []
    with progress_bar("reading docstrings", None, None) as advance:
        for entry in stdlib_docs():
            entries.append(entry)
            advance(1)
    retriever.upsert_text_stream(
        ((entry.name, entry.text, {"module": entry.module, "kind": entry.kind}) for entry in entries),
        total=len(entries),
        batch_size=_BATCH,
    )


def _introduce(console: Console, demo: DemoIndex) -> None:
    stats = demo.retriever.stats()
    console.print(Rule("Kayak demo", style="dim"))
    done = "Indexed" if demo.built else "Reusing the index of"
    console.print(
        f"{done} the docstrings of Python {platform.python_version()}'s standard library: "
        f"{counted(stats.document_count, 'document')}, {counted(stats.total_vector_count, 'token vector')} × "
        f"{stats.vector_dim}, {bytes_text(stats.storage_byte_size or 0)} on disk, {demo.seconds:.1f} s."
    )
    console.print(
        "The encoder is 'hashing', which matches words and their spellings, not meanings; "
        f"scores are exact MaxSim, computed by {demo.retriever.backend}."
    )


def answer(console: Console, retriever: LateTextRetriever, question: str) -> None:
    """Show the best documents for a question."""
    start = time.perf_counter()
    hits = retriever.search_text(question, k=_HITS)
    seconds = time.perf_counter() - start
    held = documents_by_id(retriever, [hit.doc_id for hit in hits])
    console.print()
    console.print(Text(f"? {question}", style="bold"))
    rows = [Row(hit.doc_id, hit.score, _first_line(text_in(held, hit.doc_id))) for hit in hits]
    console.print(ranking(rows, console.width))
    console.print(Text(f"{seconds * 1000:.0f} ms", style="dim"))


def show_stages(console: Console, retriever: LateTextRetriever, question: str) -> None:
    """Show what an exact and a staged plan cost for one question, and what the staged one missed."""
    exact = retriever.search_text_with_plan(question, exact_full_scan_search_plan(_HITS))
    plan = document_proxy_search_plan(_HITS, _WINDOW)
    retriever.search_text_with_plan(question, plan)  # builds the proxies, once an index; shown is what a search costs
    staged = retriever.search_text_with_plan(question, plan)
    console.print()
    console.print(Text("What did that cost? The same question by two plans.", style="bold"))
    for title, result in (
        ("exact_full_scan: every document is scored", exact),
        (f"document_proxy: one mean vector a document chooses {_WINDOW} candidates", staged),
    ):
        console.print()
        console.print(profiles((p for p in result.profiles if p.document_count), title=title))
    scored = staged.stage2.document_vector_count
    total = exact.candidate_stage.profile.document_vector_count
    console.print(
        f"\nThe staged plan scored {scored:,} document vectors exactly instead of {total:,}. What it may miss depends "
        f"on the window. Of the {len(exact.hits)} best documents, a window of "
        f"{', '.join(_window_recalls(retriever, question, exact))}."
    )


def _window_recalls(retriever: LateTextRetriever, question: str, exact: SearchPlanResult) -> list[str]:
    plan = document_proxy_search_plan(_HITS, max(_WINDOWS))
    window = retriever.search_text_with_plan(question, plan).candidate_stage.candidate_doc_ids
    best = {hit.doc_id for hit in exact.hits}
    return [f"{size:,} holds {len(best & set(window[:size]))}" for size in _WINDOWS]


def show_alignment(console: Console, retriever: LateTextRetriever, question: str) -> None:
    """Show which token of the best document each token of the question found."""
    best = retriever.search_text(question, k=1)[0]
    explanation = explain(question, retriever, best)
    console.print()
    console.print(Text(f"Why {best.doc_id}? Each query token, and the document token it found.", style="bold"))
    console.print(alignment(explanation))


def _ask(console: Console, retriever: LateTextRetriever) -> None:
    for question in _questions(console) if _is_interactive(console) else ():
        try:
            answer(console, retriever, question)
        except EncodingError as error:
            note(f"error: {error}")


def _is_interactive(console: Console) -> bool:
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty() and console.is_terminal


def _questions(console: Console) -> Iterator[str]:
    while True:
        try:
            question = console.input("\nYour question (Enter ends): ").strip()
        except EOFError:
            console.print()
            return
        if not question:
            return
        yield question


def _farewell(console: Console, demo: DemoIndex) -> None:
    console.print()
    console.print(Text("Next", style="bold"))
    for line in (
        f"kayak search 'your question' --path '{demo.folder / 'index'}'",
        "kayak index YOUR_FOLDER && kayak search 'your question'",
        "kayak help",
    ):
        console.print(Text(f"  {line}"), soft_wrap=True)


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n\n")[2].partition("\n")[0]
