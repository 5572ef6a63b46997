"""Term postings in LanceDB: a list of tokens in each row, a full-text index over it, and a table with the codebook.

A token is the beginning of the codebook's identity and the number of a term, so that terms of different codebooks are
different words. The engine ranks by BM25, where a token that stands in the query n times counts n times: that is how
weights enter, in eight steps. Writing a document empties its list in the same commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import kayak
import numpy as np
import pyarrow as pa

from kayak_lancedb.columns import postings_batch, to_documents
from kayak_lancedb.connecting import TableLocation
from kayak_lancedb.faults import CLIENT_ERRORS, retried, translated
from kayak_lancedb.filters import string_literal
from kayak_lancedb.reading import rows_at_a_time, scan_rows, selection_predicate
from kayak_lancedb.schema import ID, POSTED, REVISION, TERMS, VECTORS
from kayak_lancedb.tables import DocumentTable

if TYPE_CHECKING:
    from lancedb.table import LanceTable

WEIGHT_STEPS = 8
"""How often the token of the heaviest term stands in a query."""

_IDENTITY_CHARACTERS = 16
_UNINDEXED_SHARE = 0.1
_FEW_ROWS = 1000
"""Rows that are searched beside the index without a noticeable cost."""


class Postings(kayak.PostingsEngine):
    """The terms of one table's documents, and their codebook.

    Args:
        documents: the table.
    """

    def __init__(self, documents: DocumentTable) -> None:
        self._documents = documents
        location = documents.location
        self._codebook = TableLocation(location.connection, f"{location.table_name}_kayak_codebook", location.folder)

    def identity(self) -> str | None:
        """Return the identity of the codebook, or None."""
        row = self._codebook_row(["identity"])
        return None if row is None else str(row["identity"])

    def load_codebook(self) -> kayak.Codebook | None:
        """Return the codebook, or None.

        Raises:
            StoreCorruptError: its bytes are damaged.
        """
        row = self._codebook_row(["identity", "content"])
        place = str(self._documents.location)
        return None if row is None else kayak.Codebook.from_bytes(row["content"], row["identity"], place=place)

    def save_codebook(self, codebook: kayak.Codebook) -> None:
        """Make a codebook the store's, in one commit; before, give the table what terms need."""
        table = self._with_columns()
        row = pa.table(
            {
                "identity": pa.array([codebook.identity], pa.string()),
                "content": pa.array([codebook.data], pa.large_binary()),
            }
        )
        with translated("write the codebook of", str(self._documents.location)):
            self._write_codebook_row(row)
            retried(lambda: _make_index(table, only_if_missing=True), self._documents.current)

    def unposted(self, codebook: str) -> Iterator[kayak.UnpostedDocuments]:
        """Yield the documents without terms of a codebook, of one version of the table.

        Raises:
            CodebookMismatchError: the store has another codebook.
        """
        table = self._require(codebook)
        place = str(self._documents.location)
        with translated("read", place):
            rows = rows_at_a_time(table)
        for batch in scan_rows(table, [ID, REVISION, VECTORS], _unposted(codebook), rows, place):
            yield kayak.UnpostedDocuments(to_documents(batch, place), tuple(batch.column(REVISION).to_pylist()))

    def save(self, codebook: str, postings: kayak.DocumentPostings) -> int:
        """Write terms of the documents that are as they were, in one commit; return how many these are.

        Raises:
            CodebookMismatchError: the store has another codebook.
        """
        table = self._require(codebook)
        batch = postings_batch(postings, codebook, [_token(codebook, term) for term in postings.terms.tolist()])
        updated: list[int] = []

        def merge() -> None:
            # Rows that were written since have another revision, and are neither matched nor inserted.
            result: Any = table.merge_insert([ID, REVISION]).when_matched_update_all().execute(batch)
            updated.append(int(result.num_updated_rows))

        with translated("write postings to", str(self._documents.location)):
            retried(merge, self._documents.current)
        return updated[-1]

    def stats(self) -> kayak.PostingsStats:
        """Count documents with and without terms."""
        found = self._documents.current()
        codebook = self.identity()
        with translated("read", str(self._documents.location)):
            total = 0 if found is None else int(found[0].count_rows())
            if found is None or codebook is None:
                return kayak.PostingsStats(codebook, 0, total)
            unposted = int(found[0].count_rows(_unposted(codebook)))
        return kayak.PostingsStats(codebook, total - unposted, unposted)

    def refresh(self) -> None:
        """Index what is not indexed, where that is enough to be felt."""
        found = self._documents.current()
        if found is None or not found[1].keeps_terms:
            return
        table = found[0]
        with translated("index the postings of", str(self._documents.location)):
            retried(lambda: _make_index(table, only_if_missing=False), self._documents.current)

    def search(self, search: kayak.PostingsSearch) -> kayak.FoundPostings:
        """Return the best documents by BM25 over the terms, and some of those without terms."""
        from lancedb.query import MatchQuery

        found = self._documents.current()
        nothing = kayak.FoundCandidates((), ())
        if found is None or not found[1].keeps_terms:
            return kayak.FoundPostings(None, nothing, ())
        table, codebook = found[0], search.query.codebook
        with translated("search the postings of", str(self._documents.location)):
            selected = selection_predicate(search.where, search.doc_ids)
            match: Any = MatchQuery  # its annotations leave out that most arguments have defaults
            query: Any = table.search(match(_words(search.query), TERMS), query_type="fts")
            query = query.select([ID, "_score"]).limit(search.k)
            hits = (query if selected is None else query.where(selected, prefilter=True)).to_arrow()
            without = " AND ".join(f"({part})" for part in (_unposted(codebook), selected) if part)
            unposted = table.search().select([ID]).where(without).limit(search.unposted_k).to_arrow()
        ids = np.array(hits.column(ID).to_pylist(), dtype=object)
        scores = hits.column("_score").to_numpy().astype(np.float64)
        best = np.lexsort((ids, -scores)) if len(ids) else np.empty(0, dtype=np.int64)
        candidates = kayak.FoundCandidates(
            tuple(ids[best].tolist()),
            scores[best],
            bytes_read=hits.nbytes,
            notes=(f"postings in a full-text index: BM25 of the terms, weighted in {WEIGHT_STEPS} steps",),
        )
        # Asked last: where the codebook was replaced meanwhile, the answer says so.
        return kayak.FoundPostings(self.identity(), candidates, tuple(unposted.column(ID).to_pylist()))

    def _require(self, codebook: str) -> LanceTable:
        held = self.identity()
        found = self._documents.current()
        if held != codebook or found is None:
            raise kayak.codebook_mismatch("lancedb", held, codebook)
        return found[0]

    def _with_columns(self) -> LanceTable:
        """Return the table with the columns of postings; its documents have no terms, and the revision ''."""
        table = self._documents.created()
        found = self._documents.current()
        if found is None or found[1].keeps_terms:
            return table
        with translated("add columns to", str(self._documents.location)):
            try:
                table.add_columns(
                    {
                        TERMS: "arrow_cast(NULL, 'List(Utf8)')",
                        POSTED: "CAST(NULL AS STRING)",
                        REVISION: "CAST('' AS STRING)",
                    }
                )
            except CLIENT_ERRORS:
                again = self._documents.current()  # another process may have been first
                if again is None or not again[1].keeps_terms:
                    raise
        return self._documents.created()

    def _codebook_row(self, columns: list[str]) -> dict[str, Any] | None:
        with translated("read the codebook of", str(self._documents.location)):
            table = self._codebook_table()
            if table is None:
                return None
            rows: list[dict[str, Any]] = table.search().select(columns).to_arrow().to_pylist()
        return rows[0] if rows else None

    def _write_codebook_row(self, row: pa.Table) -> None:
        table = self._codebook_table()
        if table is None:
            try:
                self._codebook.connection.create_table(self._codebook.table_name, row)
            except ValueError as error:
                if "already exists" not in str(error):
                    raise
                table = self._codebook_table()  # another process was first
        if table is not None:
            table.add(row, mode="overwrite")

    def _codebook_table(self) -> Any:
        try:
            return self._codebook.connection.open_table(self._codebook.table_name)
        except ValueError as error:
            if "was not found" not in str(error):
                raise
            return None


def _make_index(table: LanceTable, *, only_if_missing: bool) -> None:
    """Index the terms, unless there is an index that lacks few rows."""
    from lancedb.index import FTS

    name = next((index.name for index in table.list_indices() if list(index.columns) == [TERMS]), None)
    if name is not None:
        stats = table.index_stats(name)
        missing = 0 if stats is None else stats.num_unindexed_rows
        if only_if_missing or missing <= max(_FEW_ROWS, _UNINDEXED_SHARE * table.count_rows()):
            return
    config = FTS(
        base_tokenizer="whitespace",
        max_token_length=None,
        with_position=False,
        lower_case=False,
        stem=False,
        remove_stop_words=False,
        ascii_folding=False,
    )
    table.create_index(TERMS, config=config, replace=True)


def _token(codebook: str, term: int) -> str:
    return f"{codebook[:_IDENTITY_CHARACTERS]}x{term}"


def _words(query: kayak.PostingsQuery) -> str:
    """Return the query as text: each token as often as its weight is worth, at least once."""
    terms, weights = query.summed()
    counts = np.ceil(WEIGHT_STEPS * weights / weights.max()).astype(np.int64)
    return " ".join(
        _token(query.codebook, term)
        for term, count in zip(terms.tolist(), counts.tolist(), strict=True)
        for _ in range(count)
    )


def _unposted(codebook: str) -> str:
    """Return the predicate of documents without terms of a codebook."""
    return f"{POSTED} IS NULL OR {POSTED} <> {string_literal(codebook)}"
