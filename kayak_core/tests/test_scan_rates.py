"""`kayak.measure_scan_rates`: rates that follow from the times, and wrong input."""

from __future__ import annotations

import json

import kayak
import pytest
from kayak.evaluation import scan_rates


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_rates, "_SETTLE_SECONDS", 0.0)


def test_rates_follow_from_the_times() -> None:
    rates = kayak.measure_scan_rates(
        document_count=30,
        vectors_per_document=7,
        vector_dim=16,
        query_vector_count=4,
        rounds=3,
        backends=["numpy_reference"],
    )
    assert [rate.name for rate in rates.rates] == ["numpy_reference", "limit: square SGEMM", "limit: one read"]
    assert [rate.is_limit for rate in rates.rates] == [False, True, True]
    scan, square, read = rates.rates
    assert (rates.document_vector_count, rates.document_count, rates.vector_dim) == (210, 30, 16)
    for rate in rates.rates:
        assert rate.seconds > 0
        assert rate.vectors_per_second == pytest.approx(210 / rate.seconds)
    assert scan.gigaflops == pytest.approx(2 * 210 * 16 * 4 / scan.seconds / 1e9)
    assert scan.gigabytes_per_second == pytest.approx(210 * 16 * 4 / scan.seconds / 1e9)
    assert (square.gigabytes_per_second, read.gigaflops) == (None, None)
    again = json.loads(json.dumps(rates.to_dict()))
    assert again["rates"][0]["name"] == "numpy_reference"


def test_what_it_says() -> None:
    rates = kayak.measure_scan_rates(document_count=10, rounds=1)
    names = [rate.name for rate in rates.rates if not rate.is_limit]
    assert names == list(kayak.available_backends())
    lines = str(rates).splitlines()
    assert lines[0].startswith("one query of 32 vectors over 10 documents, 1,000 vectors × 128, 500.0 KiB; ")
    assert lines[2].split()[0] == names[0]
    assert lines[2].endswith("%")
    assert not lines[-1].endswith("%")
    assert repr(rates).startswith(f"ScanRates({names[0]} ")
    assert rates.table().marked == set(range(len(names)))
    pytest.importorskip("pandas", reason="pandas is not installed")
    assert list(rates.to_dataframe()["name"]) == [rate.name for rate in rates.rates]


@pytest.mark.parametrize(
    "name", ["document_count", "vectors_per_document", "vector_dim", "query_vector_count", "rounds"]
)
def test_wrong_sizes_are_named(name: str) -> None:
    with pytest.raises(kayak.InvalidInputError, match=f"{name} must be ≥ 1, got 0"):
        kayak.measure_scan_rates(**{name: 0})


def test_wrong_backends_are_named() -> None:
    with pytest.raises(kayak.UnknownKindError, match="gpu"):
        kayak.measure_scan_rates(backends=["gpu"])
    with pytest.raises(kayak.InvalidInputError, match="backends is empty"):
        kayak.measure_scan_rates(backends=[])
