"""Makes pytest explain the assertions of the conformance suites, which live in a library."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("kayak.testing")
