"""Writes documents into a store batch by batch, skipping what is there already."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import attrs

from kayak.cli.console import counted
from kayak.cli.documents import Problem, SourceDocument
from kayak.errors import EncodingError, InvalidInputError
from kayak.retrieval import LateTextRetriever
from kayak.retrieval.progress import progress_bar

_SKIP_HINT = "--on-error skip leaves such documents out and goes on"
_SHOWN = 20
"""Documents left out that are named one by one."""


@attrs.define
class IndexRun:
    """Indexes documents and counts; the counts are right at any moment, also after an interruption.

    Attributes:
        retriever: encodes and stores.
        batch_size: documents encoded and stored at a time.
        skip_errors: whether documents that cannot be read or encoded are left out, instead of stopping.
        force: whether documents that the store holds already with equal text and metadata are written again.
        stored: documents written.
        unchanged: documents that were there already.
        skipped: documents left out, with the reasons.
        seconds: time that it took.
    """

    retriever: LateTextRetriever
    batch_size: int
    skip_errors: bool = False
    force: bool = False
    stored: int = 0
    unchanged: int = 0
    skipped: list[Problem] = attrs.field(factory=list)
    seconds: float = 0.0

    def run(self, entries: Iterable[SourceDocument | Problem], *, total: int | None) -> None:
        """Index everything.

        A batch is stored as a whole or not at all; batches stored before an error stay.

        Raises:
            InvalidInputError: a document cannot be read, and such are not to be skipped.
            EncodingError: a document cannot be encoded, and such are not to be skipped.
            StoreError: the store cannot be written.
        """
        start = time.perf_counter()
        try:
            with progress_bar("indexing", total, None) as advance:
                for batch in _batches(iter(entries), self.batch_size):
                    self._store(self._readable(batch))
                    advance(len(batch))
        finally:
            self.seconds = time.perf_counter() - start

    def summary(self) -> str:
        """Return the counts as one sentence."""
        parts = [f"{counted(self.stored, 'document')} stored"]
        if self.unchanged:
            parts.append(f"{self.unchanged:,} unchanged")
        if self.skipped:
            parts.append(f"{len(self.skipped):,} skipped")
        return f"{', '.join(parts)} in {self.seconds:.1f} s"

    def skipped_lines(self) -> list[str]:
        """Return a line for each document that was left out, the first ones where there are very many."""
        lines = [f"skipped {problem.place}: {problem.reason}" for problem in self.skipped[:_SHOWN]]
        if len(self.skipped) > _SHOWN:
            lines.append(f"skipped {len(self.skipped) - _SHOWN:,} more; --json lists them all")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain JSON values."""
        return {
            "stored": self.stored,
            "unchanged": self.unchanged,
            "skipped": [attrs.asdict(problem) for problem in self.skipped],
            "seconds": self.seconds,
        }

    def _readable(self, batch: list[SourceDocument | Problem]) -> list[SourceDocument]:
        for entry in batch:
            if isinstance(entry, Problem):
                self._leave_out(entry, InvalidInputError)
        return [entry for entry in batch if isinstance(entry, SourceDocument)]

    def _store(self, batch: list[SourceDocument]) -> None:
        new = batch if self.force else self._changed(batch)
        self.unchanged += len(batch) - len(new)
        while new:
            try:
                self._upsert(new)
            except (EncodingError, InvalidInputError) as error:
                good = self._without_faults(new, error)
                if len(good) == len(new):  # the fault is not in a text
                    raise error from None
                new = good
            else:
                return

    def _upsert(self, batch: list[SourceDocument]) -> None:
        self.retriever.upsert_texts(
            [document.doc_id for document in batch],
            [document.text for document in batch],
            metadata=[document.metadata for document in batch],
            batch_size=len(batch),
            show_progress=False,
        )
        self.stored += len(batch)

    def _changed(self, batch: list[SourceDocument]) -> list[SourceDocument]:
        """Return the documents that the store lacks, or holds with another text or other metadata."""
        if not batch:
            return batch
        held: dict[str, tuple[object, object]] = {}
        ids = [document.doc_id for document in batch]
        for known in self.retriever.store.documents(doc_ids=ids, batch_size=len(ids)):
            count = known.document_count
            rows = zip(known.doc_ids, known.texts or (None,) * count, known.metadata or ({},) * count, strict=True)
            held.update((doc_id, (text, dict(metadata))) for doc_id, text, metadata in rows)
        return [each for each in batch if held.get(each.doc_id) != (each.text, each.metadata)]

    def _without_faults(
        self, batch: list[SourceDocument], error: EncodingError | InvalidInputError
    ) -> list[SourceDocument]:
        """Leave out what cannot be encoded: of the document that the error names, or else of all, tried one by one."""
        faulty = error.doc_id if isinstance(error, EncodingError) else None
        return [each for each in batch if faulty not in (None, each.doc_id) or self._can_be_encoded(each)]

    def _can_be_encoded(self, document: SourceDocument) -> bool:
        try:
            self.retriever.encoder.encode_documents([document.doc_id], [document.text])
        except (EncodingError, InvalidInputError) as error:
            name = f"document {document.doc_id!r}"
            reason = str(error) if name in str(error) else f"{name} cannot be encoded: {error}"
            self._leave_out(Problem(document.place, reason), EncodingError)
            return False
        return True

    def _leave_out(self, problem: Problem, error: type[EncodingError | InvalidInputError]) -> None:
        if not self.skip_errors:
            raise error(f"{problem.place}: {problem.reason}. Nothing of its batch was stored; {_SKIP_HINT}")
        self.skipped.append(problem)


def _batches(entries: Iterator[SourceDocument | Problem], size: int) -> Iterator[list[SourceDocument | Problem]]:
    while batch := list(islice(entries, size)):
        yield batch
