"""`Reopening`: how the suites of stores open a store again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kayak.contracts import LateStore
from kayak.testing.suite import ConformanceSuite

Reopen = Callable[[LateStore], LateStore]


class Reopening(ConformanceSuite):
    """Finds the author's fixture `reopen`."""

    @pytest.fixture
    def reopened(self, request: pytest.FixtureRequest) -> Reopen | None:
        """The author's `reopen`, or None where the author gives none."""
        try:
            reopen: Reopen = request.getfixturevalue("reopen")
        except pytest.FixtureLookupError as error:
            if error.argname != "reopen":
                raise
            return None
        return reopen


def required(reopened: Reopen | None) -> Reopen:
    """Return the author's `reopen`, which a store that declares `persistent` needs."""
    assert reopened is not None, (
        "the store declares persistent=True; give the suite a fixture `reopen` that returns a function from "
        "an open store to the same store opened again"
    )
    return reopened
