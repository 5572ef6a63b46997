"""Nothing heavy or optional is imported behind the user's back; benchmarks/import_cost.py measures the time."""

from __future__ import annotations

import json
import os
import subprocess
import sys

OPTIONAL = [
    "chromadb",
    "hypothesis",
    "ir_datasets",
    "ir_measures",
    "lancedb",
    "matplotlib",
    "mojo",
    "pandas",
    "psycopg",
    "pytest",
    "qdrant_client",
    "rich",
    "scipy",
    "sentence_transformers",
    "torch",
    "tqdm",
    "typer",
    "weaviate",
]


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    # Coverage measured in the child would import its own modules there.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_loads_nothing_until_a_name_is_used() -> None:
    modules = modules_after("import kayak")
    assert not modules & {*OPTIONAL, "numpy", "pluggy", "sqlite3"}


def test_listing_kinds_and_searching_import_no_optional_package() -> None:
    code = (
        "import kayak\n"
        "kayak.available_encoder_kinds(), kayak.available_store_kinds(), kayak.available_backends()\n"
        "kayak.list_plugins()\n"
        "store = kayak.open_store('memory')\n"
        "r = kayak.open_text_retriever(encoder='hashing', store=store)\n"
        "r.upsert_texts(['a'], ['some text'])\n"
        "assert r.search_text('text', k=1)\n"
    )
    assert not modules_after(code) & set(OPTIONAL)


def test_every_public_name_loads_without_an_optional_package() -> None:
    assert not modules_after("import kayak\nfor name in kayak.__all__: getattr(kayak, name)") & set(OPTIONAL)
