"""Term postings in PostgreSQL: three tables beside the documents, made with the first codebook.

`..._kayak_postings` holds a row for each document and term, `..._kayak_pending` one for each document without terms,
and `..._kayak_codebook` the codebook. Whoever changes them holds the state row, so that they always tell the same;
searches read them in one snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kayak
import numpy as np
from psycopg import sql

from kayak_pgvector.encoding import document_id, document_key
from kayak_pgvector.filters import TRUE, Condition
from kayak_pgvector.reading import selected
from kayak_pgvector.schema import CODEBOOK_SUFFIX, Tables
from kayak_pgvector.sessions import Session

_CREATE = (
    """
CREATE TABLE {codebook} (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), identity text NOT NULL,
                         content bytea NOT NULL)
""",
    "ALTER TABLE {codebook} ALTER COLUMN content SET STORAGE EXTERNAL",
    "CREATE TABLE {postings} (term integer NOT NULL, position bigint NOT NULL, PRIMARY KEY (term, position))",
    "CREATE INDEX ON {postings} (position)",
    """
CREATE TABLE {pending} (position bigint PRIMARY KEY, revision bigint NOT NULL GENERATED ALWAYS AS IDENTITY)
""",
)
_REPLACE = (
    "TRUNCATE {postings}, {pending}",
    "INSERT INTO {pending} (position) SELECT position FROM {documents} ORDER BY position",
)
_SAVE = """
INSERT INTO {codebook} (identity, content) VALUES (%s, %s)
ON CONFLICT (only_row) DO UPDATE SET identity = excluded.identity, content = excluded.content
"""
_FORGET = ("DELETE FROM {postings} WHERE position = ANY (%s)", "DELETE FROM {pending} WHERE position = ANY (%s)")
_TAKE = """
DELETE FROM {pending} AS p USING {documents} AS d, unnest(%s::text[], %s::bigint[]) AS given(doc_id, revision)
WHERE d.doc_id = given.doc_id AND p.position = d.position AND p.revision = given.revision
RETURNING d.doc_id, p.position
"""
_INSERT = """
INSERT INTO {postings} (position, term)
SELECT * FROM unnest(%s::bigint[], %s::integer[]) AS given(position, term) ORDER BY term, position
"""
_SEARCH = """
SELECT d.doc_id, d.exact_doc_id, found.score FROM (
    SELECT position, sum(best) AS score FROM (
        SELECT p.position, q.vector, max(q.weight) AS best
        FROM unnest(%s::integer[], %s::integer[], %s::float4[]::float8[]) AS q(vector, term, weight)
        JOIN {postings} AS p ON p.term = q.term {restriction} GROUP BY p.position, q.vector
    ) AS matched GROUP BY position ORDER BY score DESC, position LIMIT %s
) AS found JOIN {documents} AS d ON d.position = found.position ORDER BY found.score DESC, d.position
"""
_RESTRICTION = "WHERE p.position IN (SELECT position FROM {documents} WHERE {where})"
_UNPOSTED = """
SELECT doc_id, exact_doc_id FROM {documents} WHERE position IN (SELECT position FROM {pending}) AND {where}
ORDER BY position LIMIT %s
"""
_COUNT = "SELECT (SELECT count(*) FROM {documents}), (SELECT count(*) FROM {pending})"
_REVISIONS = """
SELECT d.doc_id, d.exact_doc_id, p.revision, p.position
FROM {pending} AS p JOIN {documents} AS d ON d.position = p.position
WHERE p.position > %s ORDER BY p.position LIMIT %s
"""
_POSITIONS = "SELECT position FROM {documents} WHERE doc_id = ANY (%s) ORDER BY position"


DOCUMENTS_AT_A_TIME = 10_000
"""Documents without terms that are listed at a time."""


class Postings:
    """Postings of one store, inside transactions that the caller begins.

    Args:
        tables: the store's tables.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._quoted_codebook = sql.Identifier(tables.schema, tables.name + CODEBOOK_SUFFIX).as_string(None)

    def codebook_identity(self, session: Session) -> str | None:
        """Return the identity of the codebook, or None where there is none."""
        if not self._exist(session):
            return None
        found = session.rows(self._sql("SELECT identity FROM {codebook}"))
        return str(found[0][0]) if found else None

    def codebook(self, session: Session) -> tuple[bytes, str] | None:
        """Return the codebook's bytes and identity, or None where there is none."""
        if not self._exist(session):
            return None
        found = session.rows(self._sql("SELECT content, identity FROM {codebook}"))
        return (found[0][0], found[0][1]) if found else None

    def replace_codebook(self, session: Session, codebook: kayak.Codebook) -> None:
        """Save a codebook; where it is another one, no document has terms afterwards."""
        self._lock(session)
        if not self._exist(session):
            for statement in _CREATE:
                session.execute(self._sql(statement))
        if self.codebook_identity(session) != codebook.identity:
            for statement in _REPLACE:
                session.execute(self._sql(statement))
        session.execute(self._sql(_SAVE), (codebook.identity, codebook.data))

    def written(self, session: Session, keys: Sequence[str]) -> None:
        """Take away the terms of documents that were just written. The caller holds the state row."""
        if not self._exist(session):
            return
        positions = [row[0] for row in session.rows(self._sql(_POSITIONS), (list(keys),))]
        self._forget(session, positions)
        session.execute(
            self._sql("INSERT INTO {pending} (position) SELECT unnest(%s::bigint[])"),
            (positions,),
        )

    def deleted(self, session: Session, positions: Sequence[int]) -> None:
        """Take away the terms of documents that were just deleted. The caller holds the state row."""
        if self._exist(session):
            self._forget(session, positions)

    def save(self, session: Session, codebook: str, postings: kayak.DocumentPostings) -> int:
        """Write terms of the documents that are as they were; return how many these are.

        Raises:
            CodebookMismatchError: the store has another codebook.
        """
        self._lock(session)
        self._require(session, codebook)
        keys = [document_key(doc_id)[0] for doc_id in postings.doc_ids]
        taken = session.rows(self._sql(_TAKE), (keys, [int(revision) for revision in postings.revisions]))
        position_of: dict[str, int] = dict(taken)
        numbers = [number for number, key in enumerate(keys) if key in position_of]
        counts = [len(postings.of(number)) for number in numbers]
        positions = np.repeat([position_of[keys[number]] for number in numbers], counts)
        terms = np.concatenate([postings.of(number) for number in numbers]) if numbers else np.empty(0, np.int32)
        session.execute(self._sql(_INSERT), (positions.tolist(), terms.tolist()))
        return len(numbers)

    def pending(self, session: Session, codebook: str, after: int) -> tuple[dict[str, str], int]:
        """Return revisions by id of the next documents without terms, and where to go on.

        Raises:
            CodebookMismatchError: the store has another codebook.
        """
        self._require(session, codebook)
        rows = session.rows(self._sql(_REVISIONS), (after, DOCUMENTS_AT_A_TIME))
        found = {document_id(key, exact): str(revision) for key, exact, revision, _ in rows}
        return found, rows[-1][3] if rows else after

    def counts(self, session: Session) -> kayak.PostingsStats:
        """Count documents with and without terms."""
        held = self.codebook_identity(session)
        if held is None:
            documents = session.rows(self._sql("SELECT count(*) FROM {documents}"))[0][0]
            return kayak.PostingsStats(None, 0, documents)
        documents, pending = session.rows(self._sql(_COUNT))[0]
        return kayak.PostingsStats(held, documents - pending, pending)

    def refresh(self, session: Session) -> None:
        """Tell PostgreSQL's planner what the tables hold by now."""
        if self._exist(session):
            session.execute(self._sql("ANALYZE {postings}, {pending}"))

    def search(self, session: Session, search: kayak.PostingsSearch) -> kayak.FoundPostings:
        """Return the best documents by the greatest weight that each vector of the query finds, summed."""
        if not self._exist(session):
            return kayak.FoundPostings(None, kayak.FoundCandidates((), ()), ())
        session.rows("SELECT set_config('jit', 'off', true)")  # compiling costs more than it saves
        chosen = selected(search.doc_ids, search.where)
        restriction = self._sql("") if chosen is None else self._sql(_RESTRICTION, where=chosen.query)
        query = search.query
        given = (query.vector_numbers.tolist(), query.terms.tolist(), query.weights.tolist())
        parameters = (*given, *(() if chosen is None else chosen.parameters), search.k)
        rows = session.rows(self._sql(_SEARCH, restriction=restriction), parameters)
        some: Condition = chosen or TRUE
        unposted = session.rows(self._sql(_UNPOSTED, where=some.query), (*some.parameters, search.unposted_k))
        ids = tuple(document_id(key, exact) for key, exact, _ in rows)
        found = kayak.FoundCandidates(
            ids,
            np.array([row[2] for row in rows], dtype=np.float64),
            bytes_read=sum(len(row[0]) + len(row[1] or b"") + 8 for row in rows),
            notes=("postings in SQL: the greatest weight for each query vector, summed",),
        )
        # Asked last: where the codebook was replaced meanwhile, without a snapshot, the answer says so.
        held = self.codebook_identity(session)
        return kayak.FoundPostings(held, found, tuple(document_id(key, exact) for key, exact in unposted))

    def _forget(self, session: Session, positions: Sequence[int]) -> None:
        for statement in _FORGET:
            session.execute(self._sql(statement), (list(positions),))

    def _require(self, session: Session, codebook: str) -> None:
        held = self.codebook_identity(session)
        if held != codebook:
            raise kayak.codebook_mismatch("pgvector", held, codebook)

    def _exist(self, session: Session) -> bool:
        return session.rows("SELECT to_regclass(%s) IS NOT NULL", (self._quoted_codebook,))[0][0] is True

    def _lock(self, session: Session) -> None:
        """Hold the state row until the transaction ends: nobody else changes documents or postings meanwhile."""
        session.rows(self._sql("SELECT FROM {state} FOR UPDATE"))

    def _sql(self, statement: Any, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(statement).format(
            documents=self._tables.documents,
            state=self._tables.state,
            codebook=self._tables.codebook,
            postings=self._tables.postings,
            pending=self._tables.pending,
            **more,
        )
