"""Every code snippet of the specification, run as written.

Snippets are copied line by line; only indentation, which parts of the specification lost, is restored. Those that
follow one another share a namespace, and the toy functions, models and vectors that they mention are supplied. Where
the specification is at hand (KAYAK_TEST_SPEC, or `../shared/spec` beside the repository), each snippet is compared with
it, and every line there that calls Kayak must belong to a snippet.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kayak
import numpy as np
import pytest

SPEC = Path(os.environ.get("KAYAK_TEST_SPEC") or Path(__file__).parents[2] / "shared" / "spec")
MOJO = "kayak.MOJO_EXACT_CPU_BACKEND"

HELP = ('''
import kayak
print(kayak.help())
print(kayak.doctor())
print(kayak.help("search"))
print(kayak.help("search_text"))
print(kayak.help("session"))
print(kayak.help("typing"))
print(kayak.available_encoder_kinds())
print(kayak.available_store_kinds())
print(kayak.help("TokenMatrixInput"))
print(kayak.help("mojo"))
print(kayak.help("stores"))
print(kayak.help(kayak.LateTextRetriever))
''', '''
import kayak
print(kayak.doctor())
''', '''
import inspect
import kayak
print(inspect.signature(kayak.open_text_retriever))
print(inspect.getdoc(kayak.open_text_retriever))
print(inspect.getdoc(kayak.LateTextRetriever.search_text))
''', '''
import kayak
print(kayak.available_encoder_kinds())
''', '''
import kayak
print(kayak.help("typing"))
print(kayak.help("TokenMatrixInput"))
''')  # fmt: skip

ENCODERS = ('''
import kayak
encoder = kayak.CallableLateTextEncoder(
    query_encoder=my_query_encoder,
    document_encoder=my_document_encoder,
)
''', '''
encoder = kayak.open_encoder(
    "callable",
    query_encoder=my_model.encode_query_tokens,
    document_encoder=my_model.encode_document_tokens,
)
''', '''
encoder = kayak.open_encoder("callable", model=my_model)
''', '''
encoder = kayak.open_encoder(
    "callable",
    model=my_model,
    query_method="query_tokens",
    document_method="document_tokens",
)
''', '''
retriever = kayak.open_text_retriever(
    encoder=my_model,
    store="memory",
)
''', '''
retriever = kayak.open_text_retriever(
    encoder=my_model,
    store="memory",
    encoder_kwargs={
        "query_method": "query_tokens",
        "document_method": "document_tokens",
    },
)
''', '''
from kayak.typing import DocIdsInput, DocTextsInput, TokenMatrixInput
class MyLateInteractionModel:
    def encode_query_tokens(self, text: str) -> TokenMatrixInput:
        ...
    def encode_document_tokens(self, text: str) -> TokenMatrixInput:
        ...
def encode_documents(
    model: MyLateInteractionModel,
    doc_ids: DocIdsInput,
    texts: DocTextsInput,
) -> list[TokenMatrixInput]:
    return [model.encode_document_tokens(str(text)) for text in texts]
''')  # fmt: skip

RETRIEVER = ('''
import kayak
retriever = kayak.open_text_retriever(
    encoder="callable",
    store="kayak",
    encoder_kwargs={
        "query_encoder": my_query_encoder,
        "document_encoder": my_document_encoder,
    },
    store_kwargs={"path": "./kayak-index"},
)
retriever.upsert_texts(
    ["doc-a", "doc-b"],
    [
        "Pixi installs Python, Mojo, and kayak together.",
        "LanceDB can keep multivector rows on disk.",
    ],
    metadata=[
        {"topic": "installation"},
        {"topic": "storage"},
    ],
)
hits = retriever.search_text(
    "install python mojo together",
    k=2,
    where={"topic": "installation"},
)
''', '''
session = retriever.session(
    where={"topic": "installation"},
    include_text=True,
)
hits = session.search_text("install python mojo together", k=2)
batch_hits = session.search_text_batch(
    [
        "install python mojo together",
        "storage rows",
    ],
    k=2,
)
''', '''
from concurrent.futures import ThreadPoolExecutor
session = retriever.session()
query_texts = ["install kayak", "exact search", "vector db storage"]
def run_query(text: str):
    return session.search_text(text, k=5)
with ThreadPoolExecutor(max_workers=3) as executor:
    hit_lists = list(executor.map(run_query, query_texts))
''', '''
encoded_query = retriever.encode_query("install python mojo together")
encoded_documents = retriever.encode_documents(
    ["doc-a", "doc-b"],
    [
        "Pixi installs Python, Mojo, and kayak together.",
        "LanceDB can keep multivector rows on disk.",
    ],
)
''')  # fmt: skip

STORES = ('''
import kayak
store = kayak.open_store("kayak", path="./kayak-index")
documents = kayak.documents(
    ["doc-a", "doc-b"],
    [doc_a_vectors, doc_b_vectors],
    texts=["alpha", "beta"],
)
store.upsert(
    documents,
    metadata=[
        {"topic": "installation"},
        {"topic": "vector_db"},
    ],
)
index = store.load_index(
    where={"topic": "installation"},
    include_text=True,
)
''', '''
store = kayak.MemoryLateStore()
store.upsert(documents)
index = store.load_index()
''')  # fmt: skip

CORE = ('''
import kayak
import numpy as np
query = kayak.query(
    np.array(
        [
            [1.0, 0.0],
            [0.0, 1.0],
        ],
        dtype=np.float32,
    )
)
''', '''
query = kayak.query(
    np.array(
        [
            [1.0, 0.0],
            [0.0, 1.0],
        ],
        dtype=np.float32,
    ),
    text="founded in 1984 in a church artistic director",
)
''', '''
documents = kayak.documents(
    ["doc-a", "doc-b"],
    [
        np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32),
        np.array([[1.0, 0.0], [0.5, 0.5]], dtype=np.float32),
    ],
)
''', '''
documents = kayak.documents(
    ["doc-context", "doc-answer"],
    [
        np.array([[1.0, 0.0], [1.0, 0.0]], dtype=np.float32),
        np.array([[1.0, 0.0], [0.8, 0.2]], dtype=np.float32),
    ],
    texts=[
        "Gugulethu township logo emblem heritage schools history",
        "Zama Dance School was founded in 1984 in a church and the longest serving employee is the artistic director.",
    ],
)
''', '''
index = documents.pack()
''', '''
scores = kayak.maxsim(query, index)
''', '''
hits = kayak.search(query, index, k=2)
''', '''
plan = kayak.exact_full_scan_search_plan(final_k=2, candidate_k=3)
result = kayak.search_with_plan(query, index, plan)
print(result.stage2.stage_name) # noop_topk
print(result.hits)
''', '''
plan = kayak.document_proxy_search_plan(final_k=1, candidate_k=2)
result = kayak.search_with_plan(query, index, plan)
print(result.candidate_stage.hits)
print(result.stage2.stage_name) # exact_late_interaction
print(result.stage2.materialized_artifacts[0].family) # late_interaction
print(result.hits)
''', '''
plan = kayak.exact_full_scan_search_plan(
    final_k=1,
    candidate_k=2,
    stage3_verifier=kayak.clause_text_stage3_verifier_operator(),
)
result = kayak.search_with_plan(query, index, plan)
print(result.stage2.stage_name) # noop_topk
print(result.stage3_verifier.stage_name) # clause_text
print(result.stage3_verifier.materialized_artifacts[0].family) # document_text
print(result.hits)
''', '''
plan = kayak.document_proxy_search_plan(
    final_k=1,
    candidate_k=2,
    query_vector_budget=1,
    document_vector_budget=1,
    stage3_verifier=kayak.clause_text_stage3_verifier_operator(),
)
result = kayak.search_with_plan(query, index, plan)
print(result.stage2.stage_name) # exact_late_interaction
print(result.stage3_verifier.stage_name) # clause_text
print([artifact.family for artifact in result.stage2.materialized_artifacts])
# ['late_interaction']
print([artifact.family for artifact in result.stage3_verifier.materialized_artifacts])
# ['document_text']
print(result.hits)
''', '''
plan = kayak.document_proxy_search_plan(final_k=1, candidate_k=2)
result = kayak.search_with_plan(query, index, plan)
print(result.candidate_stage.hits)
print(result.hits)
print(result.candidate_stage.profile.document_vector_count)
print(result.stage2.document_vector_count)
''')  # fmt: skip

BATCH = ('''
def dim128(index: int) -> np.ndarray:
    vector = np.zeros(128, dtype=np.float32)
    vector[index] = 1.0
    return vector
batch = kayak.query_batch(
    [
        np.stack([dim128(0), dim128(1)]),
        np.stack([dim128(0), dim128(1), dim128(2)]),
    ]
)
index = kayak.documents(
    ["doc-a", "doc-b"],
    [
        np.stack([dim128(0), dim128(1), dim128(2)]),
        np.stack([dim128(0), dim128(1)]),
    ],
).pack()
scores_batch = kayak.maxsim_batch(batch, index)
''',)  # fmt: skip

LAYOUTS = ('''
import kayak
import numpy as np
def dim128(index: int) -> np.ndarray:
    vector = np.zeros(128, dtype=np.float32)
    vector[index] = 1.0
    return vector
query128 = kayak.query(np.stack([dim128(0), dim128(1)]))
documents128 = kayak.documents(
    ["doc-a", "doc-b"],
    [
        np.stack([dim128(0), dim128(1)]),
        np.stack([dim128(0), dim128(0)]),
    ],
)
index128 = documents128.pack()
flat_query = query128.to_layout("flat_dim128")
hybrid_index = index128.to_layout("hybrid_flat_dim128")
scores = kayak.maxsim(flat_query, hybrid_index)
''',)  # fmt: skip

BACKENDS = ('''
print(kayak.available_backends())
print(kayak.backend_info(kayak.MOJO_EXACT_CPU_BACKEND))
''', '''
scores = kayak.maxsim(
    query,
    index,
    backend=kayak.NUMPY_REFERENCE_BACKEND,
)
''', '''
scores = kayak.maxsim(
    query,
    index,
    backend=kayak.MOJO_EXACT_CPU_BACKEND,
)
''')  # fmt: skip

STAGED = ('''
plan = kayak.document_proxy_search_plan(
    final_k=10,
    candidate_k=100,
    query_vector_budget=32,
    document_vector_budget=64,
)
result = kayak.search_with_plan(
    query,
    index,
    plan,
    backend=kayak.MOJO_EXACT_CPU_BACKEND,
)
''',)  # fmt: skip

PLANS = ('''
plan = kayak.document_proxy_search_plan(
    final_k=10,
    candidate_k=100,
    query_vector_budget=32,
    document_vector_budget=64,
)
''', '''
result = kayak.search_with_plan(
    query,
    index,
    plan,
    backend=kayak.MOJO_EXACT_CPU_BACKEND,
)
''', '''
exact_plan = kayak.exact_full_scan_search_plan(final_k=10)

exact_result = kayak.search_with_plan(
    query,
    index,
    exact_plan,
    backend=kayak.MOJO_EXACT_CPU_BACKEND,
)
''', '''
approx_plan = kayak.document_proxy_search_plan(
    final_k=10,
    candidate_k=100,
    query_vector_budget=32,
    document_vector_budget=64,
)

approx_result = kayak.search_with_plan(
    query,
    index,
    approx_plan,
    backend=kayak.MOJO_EXACT_CPU_BACKEND,
)
''', '''
result.hits
result.candidate_stage.hits
result.stage2_reference
result.stage3_verifier
''', '''
result.stage2_reference.stage_name
result.stage2_reference.input_hit_count
result.stage2_reference.output_hit_count
result.stage2_reference.query_vector_count
result.stage2_reference.document_vector_count
''', '''
exact_plan = kayak.exact_full_scan_search_plan(final_k=10)
approx_plan = kayak.document_proxy_search_plan(final_k=10, candidate_k=100)

exact_result = kayak.search_with_plan(
    query,
    index,
    exact_plan,
    backend=kayak.MOJO_EXACT_CPU_BACKEND,
)
approx_result = kayak.search_with_plan(
    query,
    index,
    approx_plan,
    backend=kayak.MOJO_EXACT_CPU_BACKEND,
)

exact_ids = {hit.doc_id for hit in exact_result.hits}
approx_ids = {hit.doc_id for hit in approx_result.hits}

recall = len(exact_ids & approx_ids) / len(exact_ids)
''')  # fmt: skip

VERIFIER = ('''
query = kayak.query(
    query_vectors,
    text="founded in 1984 in a church artistic director",
)

documents = kayak.documents(
    ["doc-context", "doc-answer"],
    [doc_vectors_a, doc_vectors_b],
    texts=[
        "Gugulethu township logo emblem heritage schools history",
        "Zama Dance School was founded in 1984 in a church and the longest serving employee is the artistic director.",
    ],
)
index = documents.pack()

plan = kayak.exact_full_scan_search_plan(
    final_k=1,
    candidate_k=2,
    stage3_verifier=kayak.clause_text_stage3_verifier_operator(),
)

result = kayak.search_with_plan(
    query,
    index,
    plan,
    backend=kayak.MOJO_EXACT_CPU_BACKEND,
)
''',)  # fmt: skip

# Kinds that other distributions provide: with a model hub, a database client or a server behind them.
ELSEWHERE = {"colbert": '''
import kayak
encoder = kayak.open_encoder("colbert", model_name="colbert-ir/colbertv2.0")
query = encoder.encode_query("what keeps python mojo and kayak together?")
documents = encoder.encode_documents(
    ["doc-a", "doc-b"],
    [
        "One environment can keep Python, Mojo, and kayak together.",
        "Installing kayak alone adds the Python package but not the Mojo CLI.",
    ],
)
index = documents.pack()
hits = kayak.search(query, index, k=2)
''', "lancedb": '''
import kayak
store = kayak.open_store(
    "lancedb",
    path="./lancedb-store",
    table_name="docs",
)
store.upsert(documents, metadata=metadata_rows)
index = store.load_index(where={"topic": "installation"}, include_text=True)
''', "pgvector": '''
pgvector_store = kayak.open_store(
    "pgvector",
    dsn="postgresql://postgres:postgres@127.0.0.1:5432/postgres",
    table_name="docs",
)
''', "qdrant": '''
qdrant_store = kayak.open_store(
    "qdrant",
    client=my_qdrant_client,
    collection_name="docs",
)
''', "weaviate": '''
weaviate_store = kayak.open_store(
    "weaviate",
    client=my_weaviate_client,
    collection_name="Doc",
    vector_name="colbert",
)
''', "chromadb": '''
chroma_store = kayak.open_store(
    "chromadb",
    client=my_chroma_client,
    collection_name="docs",
)
'''}  # fmt: skip
DATABASE_LOOP = """
for store in (pgvector_store, qdrant_store, weaviate_store, chroma_store):
    store.upsert(documents, metadata=metadata_rows)
    index = store.load_index(where={"topic": "installation"}, include_text=True)
"""
DATABASE_CONTEXT = """
with kayak.open_store("qdrant", client=my_qdrant_client, collection_name="docs") as store:
    store.upsert(documents, metadata=metadata_rows)
    index = store.load_index(include_text=True)
"""

GROUPS = {
    "1-kayak-sdk.txt": {
        "help": HELP,
        "encoders": ENCODERS,
        "retriever": RETRIEVER,
        "stores": STORES,
        "core": CORE,
        "batch": BATCH,
        "layouts": LAYOUTS,
        "backends": BACKENDS,
    },
    "2-late-interaction.txt": {"staged": STAGED},
    "3-search-plans.txt": {"plans": PLANS, "verifier": VERIFIER},
}


class ToyModel:
    """One 128-d unit vector a word, the same for a word wherever it stands."""

    def encode_query_tokens(self, text: str) -> np.ndarray:
        return np.stack([self._word(word) for word in text.lower().split()])

    encode_document_tokens = query_tokens = document_tokens = encode_query_tokens

    @staticmethod
    def _word(word: str) -> np.ndarray:
        vector = np.random.default_rng(list(word.encode())).standard_normal(128, dtype=np.float32)
        return vector / np.linalg.norm(vector)


def toys(group: str) -> dict[str, Any]:
    """Return what the snippets of a group mention without defining it."""
    if group in ("core", "layouts", "help"):
        return {}
    generator = np.random.default_rng(7)
    model = ToyModel()
    index = kayak.documents(
        [f"doc-{i}" for i in range(120)], [generator.standard_normal((4 + i % 9, 128)) for i in range(120)]
    ).pack()
    return {
        "kayak": kayak,
        "np": np,
        "my_model": model,
        "my_query_encoder": model.encode_query_tokens,
        "my_document_encoder": model.encode_document_tokens,
        "query": kayak.query(generator.standard_normal((5, 128))),
        "index": index,
        "doc_a_vectors": generator.standard_normal((3, 128)),
        "doc_b_vectors": generator.standard_normal((2, 128)),
        "query_vectors": np.array([[1.0, 0.0], [0.0, 1.0]]),
        "doc_vectors_a": np.array([[1.0, 0.0], [1.0, 0.0]]),
        "doc_vectors_b": np.array([[1.0, 0.0], [0.8, 0.2]]),
    }


def mojo_runs() -> bool:
    return kayak.backend_info(kayak.MOJO_EXACT_CPU_BACKEND).available


def runnable_here(source: str) -> str:
    """Return a snippet that names the Mojo backend with the NumPy backend in its place, where Mojo cannot run.

    The backend changes the executor, not the scores, so what the snippet shows stays the same.
    """
    return source if mojo_runs() else source.replace(f"backend={MOJO}", "backend=kayak.NUMPY_REFERENCE_BACKEND")


def run(group: str, snippets: tuple[str, ...]) -> dict[str, Any]:
    namespace = toys(group)
    for source in snippets:
        exec(compile(runnable_here(source), f"<spec snippet of {group}>", "exec"), namespace)
    return namespace


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_help_and_doctor_snippets(capsys: pytest.CaptureFixture[str]) -> None:
    run("help", HELP)
    shown = capsys.readouterr().out
    for expected in ("search_text", "open_text_retriever", "TokenMatrixInput", "hashing", "memory", "numpy_reference"):
        assert expected in shown


def test_encoder_snippets() -> None:
    result = run("encoders", ENCODERS)
    assert isinstance(result["encoder"], kayak.CallableLateTextEncoder)
    result["retriever"].upsert_texts(["a", "b"], ["wind tunnel", "heat transfer"])
    assert result["retriever"].search_text("heat", k=1)[0].doc_id == "b"
    assert result["encode_documents"](result["my_model"], ["a"], ["one two"])[0].shape == (2, 128)


def test_retriever_snippets(tmp_path: Path) -> None:
    result = run("retriever", RETRIEVER)
    assert [hit.doc_id for hit in result["hits"]] == ["doc-a"]
    assert [[hit.doc_id for hit in hits] for hits in result["batch_hits"]] == [["doc-a"], ["doc-a"]]
    assert [len(hits) for hits in result["hit_lists"]] == [2, 2, 2]
    assert result["encoded_query"].vector_count == 4
    assert result["encoded_documents"].vector_counts == (7, 7)
    result["retriever"].close()
    with kayak.open_store("kayak", path=tmp_path / "kayak-index") as store:
        assert store.load_index().doc_ids == ("doc-a", "doc-b")


def test_store_snippets() -> None:
    result = run("stores", STORES[:1])
    assert result["index"].doc_ids == ("doc-a",)
    assert result["index"].doc_texts == ("alpha",)
    np.testing.assert_array_equal(result["index"].document_token_matrix(0), result["doc_a_vectors"].astype(np.float32))
    result["store"].close()
    assert run("stores", STORES)["index"].doc_ids == ("doc-a", "doc-b")


def test_core_snippets(capsys: pytest.CaptureFixture[str]) -> None:
    before_texts = run("core", CORE[:3])
    assert before_texts["documents"].doc_ids == ("doc-a", "doc-b")
    result = run("core", CORE)
    np.testing.assert_allclose(result["scores"].numpy(), [1.0, 1.2], rtol=1e-6)
    assert [hit.doc_id for hit in result["hits"]] == ["doc-answer", "doc-context"]
    assert result["result"].hits[0].doc_id == "doc-answer"
    shown = capsys.readouterr().out
    for comment in re.findall(r"# (.+)", "".join(CORE)):  # what the specification says each line prints
        assert comment in shown


def test_batch_snippets() -> None:
    first, second = run("batch", BATCH)["scores_batch"]
    assert first.numpy().tolist() == [2.0, 2.0]
    assert second.numpy().tolist() == [3.0, 2.0]


def test_layout_snippets() -> None:
    result = run("layouts", LAYOUTS)
    assert result["scores"].numpy().tolist() == [2.0, 1.0]
    assert (result["flat_query"].layout, result["hybrid_index"].layout) == ("flat_dim128", "hybrid_flat_dim128")


def test_backend_snippets(capsys: pytest.CaptureFixture[str]) -> None:
    result = run("backends", BACKENDS)
    assert len(result["scores"]) == 120
    shown = capsys.readouterr().out
    assert "numpy_reference" in shown
    assert "mojo_exact_cpu" in shown


@pytest.mark.parametrize(("group", "snippets"), [("staged", STAGED), ("plans", PLANS)])
def test_plan_snippets(group: str, snippets: tuple[str, ...]) -> None:
    result = run(group, snippets)
    stage2 = result["result"].stage2_reference
    assert (stage2.stage_name, stage2.input_hit_count, stage2.output_hit_count) == ("exact_late_interaction", 100, 10)
    assert stage2.query_vector_count == 5
    window = result["index"].select(result["result"].candidate_stage.candidate_doc_ids)
    assert stage2.document_vector_count == window.total_vector_count
    if group == "plans":
        assert 0.0 < result["recall"] <= 1.0


def test_verifier_snippets() -> None:
    result = run("verifier", VERIFIER)["result"]
    assert [hit.doc_id for hit in result.hits] == ["doc-answer"]
    assert result.stage3_verifier.document_text_count == 2


@pytest.mark.parametrize(("group", "snippets"), [("backends", BACKENDS), ("staged", STAGED), ("plans", PLANS)])
def test_a_missing_mojo_is_an_error_with_advice_never_a_silent_switch(group: str, snippets: tuple[str, ...]) -> None:
    if mojo_runs():
        pytest.skip("the Mojo backend can run here, so nothing is missing")
    namespace = toys(group) | {"plan": kayak.exact_full_scan_search_plan(final_k=1)}
    for source in snippets:
        if f"backend={MOJO}" in source:
            with pytest.raises((kayak.UnknownKindError, kayak.BackendUnavailableError), match=r"kayak-mojo"):
                exec(source, namespace)


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_kinds_of_other_distributions_say_what_to_install(kind: str) -> None:
    if kind in kayak.available_encoder_kinds() + kayak.available_store_kinds():
        pytest.skip(f"kind {kind!r} is installed; its distribution tests it")
    clients = {f"my_{name}_client": object() for name in ("qdrant", "weaviate", "chroma")}
    with pytest.raises(kayak.UnknownKindError, match=f"pip install kayak-{kind}"):
        exec(ELSEWHERE[kind], {"kayak": kayak, **clients})


def spec_lines(name: str) -> list[str]:
    path = SPEC / name
    if not path.is_file():
        pytest.skip(f"the specification is not here: {path} is missing (set KAYAK_TEST_SPEC to its folder)")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line]


def all_snippets(name: str) -> Iterator[str]:
    for snippets in GROUPS[name].values():
        yield from snippets
    if name.startswith("1"):
        yield from (*ELSEWHERE.values(), DATABASE_LOOP, DATABASE_CONTEXT)


def pieces(snippet: str) -> Iterator[list[str]]:
    """Yield runs of lines; prose may stand between the statements of a snippet, never inside one."""
    piece: list[str] = []
    for line in snippet.strip().splitlines():
        if piece and line and not line[0].isspace() and line[0] not in ")]}":
            yield piece
            piece = []
        if line.strip():
            piece.append(line.strip())
    yield piece


@pytest.mark.parametrize("name", GROUPS)
def test_snippets_stand_in_the_specification(name: str) -> None:
    text = "\n".join(["", *spec_lines(name), ""])
    for snippet in all_snippets(name):
        at = 0
        for piece in pieces(snippet):
            found = text.find("\n".join(["", *piece, ""]), at if piece != ["import kayak"] else 0)
            assert found >= 0, f"{name} does not hold, in this order:\n" + "\n".join(piece)
            at = found


@pytest.mark.parametrize("name", GROUPS)
def test_every_line_of_the_specification_that_calls_kayak_is_run(name: str) -> None:
    calls = re.compile(r"(?:\w+ = |print\(|with )kayak\.\w+.*[(\[]")
    known = {line.strip() for snippet in all_snippets(name) for line in snippet.splitlines()}
    missing = [line for line in spec_lines(name) if calls.match(line) and line not in known]
    assert not missing
