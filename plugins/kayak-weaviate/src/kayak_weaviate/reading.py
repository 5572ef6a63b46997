"""Reads objects page by page: a cursor over the whole collection, or chosen ids and filters.

Weaviate's cursor takes no filter, and a filtered query returns a limited number of objects. So a filter is first asked
for ids alone, and the objects are then fetched by id, a page at a time; both come in the order of the ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import attrs
import kayak
from weaviate.classes.query import Filter, FilterReturn
from weaviate.collections import Collection

from kayak_weaviate.errors import AnswerTooLargeError, translated
from kayak_weaviate.filters import Condition, both, translate
from kayak_weaviate.rows import DOC_ID, METADATA, TEXT, WeaviateObject, object_uuid, read_metadata_row

PAGE_BYTES: Final = 16 * 2**20
"""Bytes of vectors and properties that one answer should have; a gRPC message may have 100 MB."""

MAX_RESULTS: Final = 10_000
"""Objects that one filtered query may return: QUERY_MAXIMUM_RESULTS, unless the server was told otherwise."""

_FIRST_PAGE = 128
_LONGEST_PAGE = 2_000
_START = UUID(int=0)


@attrs.define
class PageSize:
    """How many objects the next request asks for, learnt from the answers before it.

    Attributes:
        rows: objects.
    """

    rows: int = _FIRST_PAGE

    def learn(self, rows: int, nbytes: int) -> None:
        """Take note of an answer of `rows` ≥ 1 objects and `nbytes` bytes."""
        fitting = PAGE_BYTES * rows // max(nbytes, 1)
        self.rows = max(1, min(fitting, 4 * self.rows, _LONGEST_PAGE))

    def halve(self, error: AnswerTooLargeError) -> None:
        """Ask for half as many after an answer was too large; raise `error` where one object is too large."""
        if self.rows == 1:
            raise error
        self.rows //= 2


@attrs.frozen
class Fields:
    """What is read of each object.

    Attributes:
        texts: the text.
        metadata: the metadata.
        vectors: the token vectors.
    """

    texts: bool
    metadata: bool
    vectors: bool

    def properties(self) -> list[str]:
        """Return the names of the properties to ask for."""
        return [DOC_ID, *([TEXT] if self.texts else []), *([METADATA] if self.metadata else [])]


@attrs.frozen(eq=False)
class ObjectReader:
    """Reads the objects of one collection.

    Attributes:
        collection: the collection.
        vector_name: the vector's name.
        place: the collection, for messages.
    """

    collection: Collection[Any, None]
    vector_name: str
    place: str

    def pages(self, selection: kayak.StoreSelection, fields: Fields) -> Iterator[list[WeaviateObject]]:
        """Yield the selected objects in the order of their UUIDs, in pages, none of them empty."""
        condition = translate(selection.where)
        if condition == "none":
            return iter(())
        if selection.doc_ids is not None:
            return self._chosen(sorted(map(object_uuid, selection.doc_ids)), condition, fields)
        if condition == "all" or selection.where is None:
            return self._everything(fields)
        return self._chosen(self._matching(selection.where, condition), condition, fields)

    def _everything(self, fields: Fields) -> Iterator[list[WeaviateObject]]:
        last = _START  # no document has this UUID, and a cursor that starts here is one from the first page on

        def following(rows: int) -> list[WeaviateObject]:
            return self._fetch(fields, limit=rows, after=last)

        size = PageSize()
        while page := _fitting(following, size):
            last = UUID(int=page[-1].uuid.int)
            size.learn(len(page), self._byte_size(page))
            yield page

    def _chosen(self, uuids: Sequence[UUID], condition: Condition, fields: Fields) -> Iterator[list[WeaviateObject]]:
        start = 0

        def following(rows: int) -> list[WeaviateObject]:
            return self._by_id(uuids[start : start + rows], condition, fields)

        size = PageSize()
        while start < len(uuids):
            page = _fitting(following, size)
            start += size.rows
            if page:
                size.learn(len(page), self._byte_size(page))
                yield page

    def _by_id(self, uuids: Sequence[UUID], condition: Condition, fields: Fields) -> list[WeaviateObject]:
        found = self._ask(uuids, condition, fields)
        # An object that is replaced while it is looked up has no entry for an instant; only a second look tells it
        # from one that is not there.
        missing = set(uuids) - {UUID(int=each.uuid.int) for each in found}
        if missing:
            found += self._ask(sorted(missing), condition, fields)
        return sorted(found, key=lambda each: each.uuid.int)

    def _ask(self, uuids: Sequence[UUID], condition: Condition, fields: Fields) -> list[WeaviateObject]:
        wanted = both(Filter.by_id().contains_any(list(uuids)), condition)
        return [] if isinstance(wanted, str) else self._fetch(fields, limit=len(uuids), filters=wanted)

    def _matching(self, where: kayak.Where, condition: FilterReturn) -> list[UUID]:
        """Return the UUIDs of what a filter selects, in order."""
        found = self._fetch(Fields(texts=False, metadata=False, vectors=False), limit=MAX_RESULTS, filters=condition)
        if len(found) < MAX_RESULTS:
            return sorted(UUID(int=each.uuid.int) for each in found)
        # There may be more than one query returns: compare the metadata of all documents here instead.
        light = Fields(texts=False, metadata=True, vectors=False)
        return [
            UUID(int=each.uuid.int)
            for page in self._everything(light)
            for each in page
            if where.matches(read_metadata_row(each))
        ]

    def _fetch(
        self, fields: Fields, *, limit: int, after: UUID | None = None, filters: FilterReturn | None = None
    ) -> list[WeaviateObject]:
        with translated("read documents", self.place):
            answer = self.collection.query.fetch_objects(
                limit=limit,
                after=after,
                filters=filters,
                include_vector=[self.vector_name] if fields.vectors else False,
                return_properties=fields.properties(),
            )
        return list(answer.objects)

    def _byte_size(self, page: Sequence[WeaviateObject]) -> int:
        return sum(_byte_size(found, self.vector_name) for found in page)


def _fitting(fetch: Callable[[int], list[WeaviateObject]], size: PageSize) -> list[WeaviateObject]:
    """Return what `fetch` returns for as many rows as one answer can hold."""
    while True:
        try:
            return fetch(size.rows)
        except AnswerTooLargeError as error:
            size.halve(error)


def _byte_size(found: WeaviateObject, vector_name: str) -> int:
    rows = found.vector.get(vector_name) or ()
    vectors = 4 * len(rows) * len(rows[0]) if rows else 0
    return vectors + sum(len(value) for value in found.properties.values() if isinstance(value, str))
