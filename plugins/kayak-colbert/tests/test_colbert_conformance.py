"""The encoder keeps every promise of Kayak's conformance suite, in every format and with pooling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import kayak
import pytest
from kayak.testing import EncoderConformance


@pytest.fixture(scope="module")
def opened() -> dict[type, kayak.LateTextEncoder]:
    """One encoder a suite: loading it anew for every test would test nothing more."""
    return {}


@pytest.mark.filterwarnings("ignore:.* tokens, and the model reads the first")  # one text is long on purpose
class ColbertConformance(EncoderConformance):
    tolerance: ClassVar[float] = 1e-5
    format: ClassVar[str]
    arguments: ClassVar[dict[str, object]] = {}

    @pytest.fixture
    def encoder(
        self, checkpoint: Callable[[str], Path], opened: dict[type, kayak.LateTextEncoder]
    ) -> kayak.LateTextEncoder:
        if type(self) not in opened:
            opened[type(self)] = kayak.open_encoder(
                "colbert", model_name=str(checkpoint(self.format)), device="cpu", batch_size=3, **self.arguments
            )
        return opened[type(self)]


class TestStanford(ColbertConformance):
    format = "stanford"


class TestPyLate(ColbertConformance):
    format = "pylate"


class TestNative(ColbertConformance):
    format = "native"


class TestPooled(ColbertConformance):
    format = "native"
    arguments: ClassVar[dict[str, object]] = {"token_pooling": 2}
