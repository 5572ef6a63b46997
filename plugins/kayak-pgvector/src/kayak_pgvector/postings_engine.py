"""`PostgresPostings`: a store's postings, each method in a transaction of its own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import kayak

from kayak_pgvector.postings import Postings
from kayak_pgvector.reading import Reader
from kayak_pgvector.schema import Tables
from kayak_pgvector.sessions import Database


class PostgresPostings(kayak.PostingsEngine):
    """Runs work on postings.

    Args:
        database: runs it.
        tables: the store's tables.
        reader: reads documents.
    """

    def __init__(self, database: Database, tables: Tables, reader: Reader) -> None:
        self._database = database
        self._postings = Postings(tables)
        self._reader = reader

    def load_codebook(self) -> kayak.Codebook | None:
        """Return the store's codebook, or None."""
        found = self._database.run(self._postings.codebook)
        return None if found is None else kayak.Codebook.from_bytes(*found, place=self._database.place)

    def save_codebook(self, codebook: kayak.Codebook) -> None:
        """Make this the store's codebook, in one transaction; the first one creates the tables of postings."""
        self._database.run(lambda session: self._postings.replace_codebook(session, codebook), writes=True)

    def unposted(self, codebook: str) -> Iterator[kayak.UnpostedDocuments]:
        """Yield documents without terms, in the order of their insertion."""
        after = -(2**63)
        while True:
            # Revisions first: a document that is written before its vectors are read keeps its place here.
            revisions, after = self._database.run(partial(self._postings.pending, codebook=codebook, after=after))
            if not revisions:
                return
            for batch in self._reader.batches(kayak.StoreSelection(tuple(revisions), texts=False, metadata=False)):
                yield kayak.UnpostedDocuments(batch, tuple(revisions[doc_id] for doc_id in batch.doc_ids))

    def save(self, codebook: str, postings: kayak.DocumentPostings) -> int:
        """Write terms in one transaction."""
        return self._database.run(lambda session: self._postings.save(session, codebook, postings), writes=True)

    def refresh(self) -> None:
        """Bring the planner's statistics up to date."""
        self._database.run(self._postings.refresh, writes=True)

    def stats(self) -> kayak.PostingsStats:
        """Count documents with and without terms."""
        return self._database.run(self._postings.counts)

    def search(self, search: kayak.PostingsSearch) -> kayak.FoundPostings:
        """Search the postings in SQL, with the filter inside, in one snapshot where the connection allows it."""
        with self._database.pinned(), self._database.snapshot() as run:
            found: kayak.FoundPostings = run(lambda session: self._postings.search(session, search))
        return found
