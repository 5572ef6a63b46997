"""Runs searches and explanations and shows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from kayak.cli.console import note, stdout, write_json
from kayak.cli.tables import Row, alignment, preparation_notes, profiles, ranking
from kayak.contracts import SearchPlan, SearchPlanResult, StoredDocument
from kayak.errors import InvalidInputError
from kayak.explanation import Explanation
from kayak.retrieval import LateTextRetriever


def show_search(
    retriever: LateTextRetriever,
    query: str,
    plan: SearchPlan,
    *,
    where: Mapping[str, Any] | None,
    profile: bool,
    as_json: bool,
) -> None:
    """Search and write the ranking, and the profile of each stage where asked for."""
    result = retriever.search_text_with_plan(query, plan, where=where)
    held = documents_by_id(retriever, [hit.doc_id for hit in result.hits])
    if as_json:
        write_json(_search_json(retriever, query, result, held, profile=profile))
        return
    if not result.hits:
        note("no document matches")
    else:
        console = stdout()
        rows = [Row(hit.doc_id, hit.score, text_in(held, hit.doc_id)) for hit in result.hits]
        console.print(ranking(rows, console.width))
    if profile:
        stdout().print(profiles(result.profiles))
        for line in preparation_notes(result.profiles):
            note(line)


def documents_by_id(retriever: LateTextRetriever, doc_ids: list[str]) -> dict[str, StoredDocument]:
    """Return stored documents by id."""
    found: dict[str, StoredDocument] = {}
    if doc_ids:
        for batch in retriever.store.documents(doc_ids=doc_ids, batch_size=len(doc_ids)):
            texts = batch.texts or (None,) * batch.document_count
            metadata = batch.metadata or ({},) * batch.document_count
            rows = zip(batch.doc_ids, batch.token_matrices, texts, metadata, strict=True)
            found.update((doc_id, StoredDocument(doc_id, vectors, text, row)) for doc_id, vectors, text, row in rows)
    return found


def text_in(held: Mapping[str, StoredDocument], doc_id: str) -> str | None:
    """Return a hit's text; None where it has none, or another process has deleted it since the search."""
    return held[doc_id].text if doc_id in held else None


def show_explanation(explanation: Explanation, *, as_json: bool, plot: Path | None, html: Path | None) -> None:
    """Write which document token each query token found, and the pictures that are asked for."""
    if plot is not None:
        note(f"wrote {explanation.plot(plot)}")
    if html is not None:
        write_page(html, explanation)
        note(f"wrote {html}")
    if as_json:
        write_json(explanation.to_dict())
        return
    stdout().print(alignment(explanation, title=str(explanation).partition("\n")[0]))


def write_page(path: Path, explanation: Explanation) -> None:
    """Write an explanation as a web page of its own.

    Raises:
        InvalidInputError: the file cannot be written.
    """
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Explanation</title></head><body>'
        f"{explanation._repr_html_()}</body></html>\n"
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"cannot write the page {str(path)!r}: {error.strerror or error}") from error


def _search_json(
    retriever: LateTextRetriever,
    query: str,
    result: SearchPlanResult,
    held: Mapping[str, StoredDocument],
    *,
    profile: bool,
) -> dict[str, Any]:
    hits = [
        {
            "rank": rank,
            "doc_id": hit.doc_id,
            "score": hit.score,
            "text": text_in(held, hit.doc_id),
            "metadata": dict(held[hit.doc_id].metadata) if hit.doc_id in held else {},
        }
        for rank, hit in enumerate(result.hits, start=1)
    ]
    answer: dict[str, Any] = {"query": query, "backend": retriever.backend, "hits": hits}
    if profile:
        answer["profile"] = [attrs.asdict(stage) for stage in result.profiles]
    return answer
