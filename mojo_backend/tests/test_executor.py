"""The executor through Kayak's public functions: the reference's scores and order, and inputs that do not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kayak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kayak_mojo.executor import MojoExactCpuExecutor

MOJO = kayak.MOJO_EXACT_CPU_BACKEND


def corpus(seed: int, count: int, dim: int, *, coarse: bool = False) -> kayak.LateIndex:
    """Documents of random lengths; coarse values make many scores equal, and every third document repeats one."""
    generator = np.random.default_rng(seed)
    matrices: list[np.ndarray] = []
    for number in range(count):
        matrix = generator.standard_normal((int(generator.integers(1, 40)), dim))
        matrices.append(matrices[number // 2] if number % 3 == 2 else np.round(matrix) if coarse else matrix)
    return kayak.documents([f"doc-{i}" for i in range(count)], matrices, texts=["text"] * count).pack()


@settings(max_examples=25)
@given(
    st.integers(0, 2**31),
    st.integers(1, 120),
    st.sampled_from([1, 3, 64, 96, 128, 200]),
    st.integers(1, 70),
    st.booleans(),
)
def test_scores_and_order_are_those_of_the_reference(
    seed: int, count: int, dim: int, query_length: int, coarse: bool
) -> None:
    index = corpus(seed, count, dim, coarse=coarse)
    vectors = np.random.default_rng(seed + 1).standard_normal((query_length, dim))
    query = kayak.query(np.round(vectors) if coarse else vectors)
    ours, theirs = kayak.maxsim(query, index, backend=MOJO), kayak.maxsim(query, index)
    assert ours.backend == MOJO
    magnitude = np.abs(query.as_vector_matrix()).sum() * max(1.0, float(np.abs(index.token_vectors).max()))
    assert np.abs(ours.numpy() - theirs.numpy()).max() <= 1e-5 * magnitude
    if coarse:  # integers: both are exact, so ties are ties in both
        found = [hit.doc_id for hit in kayak.search(query, index, k=count, backend=MOJO)]
        assert found == [hit.doc_id for hit in kayak.search(query, index, k=count)]
    for number in range(2, count, 3):  # repeated documents tie to the bit, and keep index order
        assert ours.numpy()[number] == ours.numpy()[number // 2]


def test_a_plan_names_it_in_its_profiles() -> None:
    index = corpus(1, 40, 128)
    query = kayak.query(np.random.default_rng(2).standard_normal((8, 128)))
    plan = kayak.document_proxy_search_plan(final_k=5, candidate_k=20)
    result = kayak.search_with_plan(query, index, plan, backend=MOJO)
    assert result.stage2.executor == MOJO
    reference = kayak.search_with_plan(query, index, plan)
    assert [hit.doc_id for hit in result.hits] == [hit.doc_id for hit in reference.hits]


def test_batches_and_layouts() -> None:
    index = corpus(3, 30, 128).to_layout("hybrid_flat_dim128")
    generator = np.random.default_rng(4)
    batch = kayak.query_batch([generator.standard_normal((length, 128)) for length in (1, 32, 45, 7)])
    for ours, theirs in zip(
        kayak.maxsim_batch(batch, index, backend=MOJO), kayak.maxsim_batch(batch, index), strict=True
    ):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("vector_dtype", ["float16", "int8"])
def test_a_store_that_rounds_on_disk(tmp_path: Path, vector_dtype: str) -> None:
    index = corpus(5, 50, 64)
    with kayak.open_store("kayak", path=tmp_path / "store", vector_dtype=vector_dtype) as store:
        matrices = [index.document_token_matrix(i) for i in range(50)]
        store.upsert(kayak.documents(index.doc_ids, matrices))
        query = kayak.query(np.random.default_rng(6).standard_normal((16, 64)))
        loaded = store.load_index()
        ours, theirs = kayak.maxsim(query, loaded, backend=MOJO), kayak.maxsim(query, loaded)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-3)
        chosen = store.load_index(doc_ids=["doc-40", "doc-2", "doc-17"])
        some = kayak.maxsim(query, chosen, backend=MOJO)
        assert some.numpy().tolist() == [ours.numpy()[ours.doc_ids.index(i)] for i in some.doc_ids]


def test_it_is_preferred_and_shown() -> None:
    assert MOJO in kayak.available_backends()
    retriever = kayak.open_text_retriever(encoder="hashing", store="memory")
    assert retriever.backend == MOJO
    retriever.upsert_texts(["a", "b"], ["a worn chain", "a true wheel"])
    assert retriever.search_text("chain", k=1)[0].doc_id == "a"
    low_level = kayak.open_text_retriever(encoder="hashing", store="memory", backend=kayak.NUMPY_REFERENCE_BACKEND)
    assert low_level.backend == kayak.NUMPY_REFERENCE_BACKEND
    query, index = kayak.query(np.eye(2)), kayak.documents(["a"], [np.eye(2)]).pack()
    assert kayak.maxsim(query, index).backend == kayak.NUMPY_REFERENCE_BACKEND  # nothing switches by itself
    report = kayak.doctor()
    assert report.default_backend == MOJO
    assert {"mojo_exact_cpu: available", "Mojo"} <= {line.strip() for line in str(report).splitlines()}
    bridge = kayak.mojo_bridge_info()
    assert bridge.backend == kayak.backend_info(MOJO)
    assert bridge.backend.detail
    assert bridge.backend.detail in str(bridge)
    assert bridge.backend.detail in kayak.help("mojo")
    assert MOJO in kayak.help("backends")
    plugin = next(plugin for plugin in kayak.list_plugins() if plugin.name == "mojo")
    assert (plugin.distribution, plugin.status, plugin.provides) == ("kayak-mojo", "ok", (f"executor: {MOJO}",))


def test_no_mojo_installation_is_looked_for_or_imported() -> None:
    code = """
import json, os, subprocess, sys
def refuse(event, arguments):
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"):
        raise RuntimeError(f"{event} {arguments}")
import kayak, numpy as np
kayak.available_backends()
sys.addaudithook(refuse)
index = kayak.documents(["a"], [np.eye(2)]).pack()
assert kayak.maxsim(kayak.query(np.eye(2)), index, backend="mojo_exact_cpu").numpy().tolist() == [2.0]
print(json.dumps([name for name in sys.modules if name.partition(".")[0] in ("mojo", "modular", "max")]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"query": np.ones((2, 3), np.float32)}, "the query has dimension 3, but the block has 4"),
        ({"query": np.ones((2, 4))}, "expected float32 queries in native byte order, got '<f8'"),
        ({"query": np.ones((2, 4), ">f4")}, "got '>f4'"),
        ({"query_offsets": np.array([0, 1])}, "query_offsets must ascend strictly from 0 to the 2 query vectors"),
        ({"query_offsets": np.array([1, 2])}, "query_offsets must ascend strictly"),
        ({"query_offsets": np.array([0, 2, 2])}, "query_offsets must ascend strictly"),
        ({"offsets": np.array([0, 2, 7])}, "offsets must ascend strictly within its 6 vectors"),
        ({"offsets": np.array([-1, 2, 6])}, "offsets must ascend strictly"),
        ({"offsets": np.array([0, 2, 2, 6])}, "no document is empty"),
        ({"positions": np.array([0, 2])}, "from 0 to 1, got 0 to 2"),
        ({"positions": np.array([0, -1])}, "from 0 to 1, got -1 to 0"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_before_a_kernel_reads_them(change: dict[str, Any], says: str) -> None:
    given_arrays = {
        "query": np.ones((2, 4), np.float32),
        "query_offsets": np.array([0, 2]),
        "offsets": np.array([0, 2, 6]),
        "vectors": np.ones((6, 4), np.float32),
        "positions": None,
    } | change
    block = kayak.IndexBlock(given_arrays["offsets"], given_arrays["vectors"])
    arguments = (given_arrays["query"], given_arrays["query_offsets"], block, given_arrays["positions"])
    with pytest.raises(kayak.InvalidInputError, match=says):
        MojoExactCpuExecutor().maxsim(*arguments)


def test_strided_and_narrow_arrays_are_read_right() -> None:
    generator = np.random.default_rng(7)
    wide = generator.standard_normal((9, 16), dtype=np.float32)
    query, query_offsets = wide[:3, :8].copy(), np.array([0, 9, 3])[::2]
    block = kayak.IndexBlock(np.array([0, 4, 9], dtype=np.int32), wide[:, ::2])
    positions = np.array([1, 7, 0])[::2]
    found = MojoExactCpuExecutor().maxsim(query, query_offsets, block, positions)
    exact = wide[:, ::2] @ query.T
    np.testing.assert_allclose(found[0], [exact[4:].max(axis=0).sum(), exact[:4].max(axis=0).sum()], rtol=1e-5)
