"""Conformance suites for plugin authors: subclass one, give one fixture, and get every check.

```python
import pytest
from kayak.testing import StoreConformance
from my_package import MyStore


class TestMyStore(StoreConformance):
    @pytest.fixture
    def store(self, tmp_path):
        with MyStore(tmp_path) as store:
            yield store

    @pytest.fixture
    def reopen(self):
        def reopen(store):
            store.close()
            return MyStore(store.path)

        return reopen
```

What a plugin does not do is skipped by what it declares, and by nothing else. A test may be overridden only with
`@pytest.mark.xfail(reason=...)`: a known gap stays visible. `kayak.testing.strategies` holds the Hypothesis
strategies for ids, metadata, filters and token matrices.
"""

from __future__ import annotations

from kayak.errors import MissingDependencyError

try:
    import hypothesis  # noqa: F401 - checked before the modules that need it
    import pytest  # noqa: F401 - checked before the modules that need it
except ImportError as error:
    raise MissingDependencyError(
        f"kayak.testing needs pytest and hypothesis ({error}); install them with `pip install 'kayak-core[testing]'`"
    ) from error

from kayak.testing.candidate_generator import CandidateGeneratorConformance
from kayak.testing.encoder import EncoderConformance
from kayak.testing.executor import ExecutorConformance
from kayak.testing.stage_operator import StageOperatorConformance
from kayak.testing.store import StoreConformance
from kayak.testing.store_postings import PostingsConformance

__all__ = [
    "CandidateGeneratorConformance",
    "EncoderConformance",
    "ExecutorConformance",
    "PostingsConformance",
    "StageOperatorConformance",
    "StoreConformance",
]
