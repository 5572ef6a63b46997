"""The plugin: what it announces, and that listing it costs no client import."""

from __future__ import annotations

import subprocess
import sys

import kayak
from kayak_pgvector.plugin import kayak_stores, open_pgvector


def test_spec():
    (spec,) = kayak_stores()
    assert spec.names == ("pgvector", "postgres", "postgresql")
    assert spec.factory is open_pgvector


def test_the_factory_opens_a_store(server_url, schema):
    with open_pgvector(dsn=server_url, table_name="made", schema_name=schema, ensure_extension=True) as store:
        assert store.capabilities().kind == "pgvector"
        assert isinstance(store, kayak.LateStore)


def test_listing_imports_no_client():
    code = (
        "import sys, kayak, kayak_pgvector.plugin; list(kayak_pgvector.plugin.kayak_stores()); "
        "print('psycopg' in sys.modules, 'kayak_pgvector.store' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
