"""Where models come from, what is refused, and models that are loaded already."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import hub
import kayak
import numpy as np
import pytest

Checkpoint = Callable[[str], Path]


def open_colbert(checkpoint: Path | str, **arguments: Any) -> Any:
    return kayak.open_encoder("colbert", model_name=str(checkpoint), device="cpu", **arguments)


def test_the_model_is_loaded_when_needed_and_once(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    import kayak_colbert.loading

    loads = []
    load = kayak_colbert.loading.load_model
    monkeypatch.setattr(kayak_colbert.loading, "load_model", lambda options: (loads.append(options), load(options))[1])
    encoder = open_colbert(checkpoint("stanford"))
    assert encoder.source == "not loaded yet"
    assert not loads
    threads = [threading.Thread(target=encoder.encode_query, args=("wing",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert encoder.source == f"folder {checkpoint('stanford')}"
    assert encoder.source in repr(encoder)
    assert encoder.dim == checkpoints.DIM


def test_loading_is_quiet(checkpoint: Checkpoint, capfd: pytest.CaptureFixture[str]) -> None:
    open_colbert(checkpoint("stanford")).encode_query("wing")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("written", "kind"), [("plain", "plain transformer"), ("sentence", "SentenceTransformer")])
def test_a_model_without_token_vectors_is_refused(checkpoint: Checkpoint, written: str, kind: str) -> None:
    with pytest.raises(
        kayak.EncoderUnavailableError, match=f"is a {kind} checkpoint, not one for late interaction"
    ) as c:
        open_colbert(checkpoint(written)).encode_query("wing")
    assert "examples/train_colbert.py" in str(c.value)


def test_an_early_pylate_checkpoint_opens(checkpoint: Checkpoint, tmp_path: Path) -> None:
    backbone = checkpoints.tiny_backbone(tmp_path / "tokenizer")
    folder = checkpoints.write_pylate(tmp_path / "early", backbone, checkpoints.projection(backbone))
    settings = folder / "config_sentence_transformers.json"
    settings.write_text(settings.read_text("utf-8").replace('"model_type": "ColBERT",', ""), "utf-8")
    found, expected = (
        open_colbert(each).encode_document_vectors("thin wings") for each in (folder, checkpoint("pylate"))
    )
    assert np.allclose(found, expected, atol=1e-5)


def test_a_folder_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(kayak.EncoderUnavailableError, match=r"holds no checkpoint: there is neither config\.json"):
        open_colbert(tmp_path).encode_query("wing")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.safetensors", b"\x00" * 64, "cannot be loaded"),
        ("model.safetensors", None, "cannot be loaded"),
        ("tokenizer.json", b'{"version": "1.0"}', "cannot be loaded"),
        ("config.json", b"{", "is no JSON .*; get the checkpoint again"),
        ("artifact.metadata", b"[", "cannot be loaded"),
    ],
)
def test_a_damaged_checkpoint(
    checkpoint: Checkpoint, tmp_path: Path, file: str, content: bytes | None, message: str
) -> None:
    folder = Path(shutil.copytree(checkpoint("stanford"), tmp_path / "damaged"))
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(kayak.EncoderUnavailableError, match=message) as caught:
        open_colbert(folder).encode_query("wing")
    assert caught.value.__cause__ is not None
    assert str(folder) in str(caught.value)


def test_a_device_that_is_not_there(checkpoint: Checkpoint) -> None:
    encoder = kayak.open_encoder("colbert", model_name=str(checkpoint("stanford")), device="no-such-device")
    with pytest.raises(kayak.EncoderUnavailableError, match=r"cannot be loaded: .* Check the name, .* device="):
        encoder.encode_query("wing")


@pytest.mark.parametrize("arguments", [{}, {"local_files_only": True}, {"revision": "v9"}, {"local_files_only": False}])
def test_a_name_that_is_not_cached_and_no_network(arguments: dict[str, Any]) -> None:
    with pytest.raises(
        kayak.EncoderUnavailableError, match=r"'acme/colbert'.* is not in the cache .*`hf download acme/"
    ):
        open_colbert("acme/colbert", **arguments).encode_query("wing")


@pytest.mark.parametrize("name", ["acme/col bert", "-"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(kayak.EncoderUnavailableError, match="is neither a folder nor a name on the Hugging Face Hub"):
        open_colbert(name).encode_query("wing")


SCRIPT = """
import json, logging, socket, sys
logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stdout)
arguments = json.loads(sys.argv[1])
def refuse(*arguments, **keywords):
    raise OSError("the network was asked")
if arguments.pop("refuse"):
    socket.socket.connect = socket.getaddrinfo = refuse
import kayak
encoder = kayak.open_encoder("colbert", **{"model_name": "acme/colbert", "device": "cpu", **arguments})
try:
    print("shape", encoder.encode_document_vectors("thin wings").shape, encoder.fingerprint)
except kayak.EncoderUnavailableError as error:
    print("error", error)
print("source", encoder.source)
"""


def in_a_process(cache: Path, endpoint: str | None = None, **arguments: Any) -> str:
    """Open "acme/colbert" and encode in a process that may ask a hub: the one at the endpoint, or none at all."""
    hidden = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1"}
    if endpoint is not None:
        environment["HF_ENDPOINT"] = endpoint
    given = json.dumps({"refuse": endpoint is None, **arguments})
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, given],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_model_is_fetched_once(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """What was fetched opens afterwards without a word to the network, and has the same name."""
    with hub.serve("acme/colbert", checkpoint("stanford"), {"model.onnx": b"for another framework"}) as endpoint:
        fetched = in_a_process(tmp_path, endpoint)
    assert "kayak_colbert: acme/colbert at its default branch is fetched from the Hugging Face Hub" in fetched
    assert f"shape (5, {checkpoints.DIM}) colbert(acme/colbert, sha256=" in fetched
    snapshot = tmp_path / "models--acme--colbert" / "snapshots" / hub.COMMIT
    assert f"source Hugging Face Hub, acme/colbert at its default branch in {snapshot}" in fetched
    assert not (snapshot / "model.onnx").exists()

    cached = in_a_process(tmp_path)
    assert f"source cache of the Hugging Face Hub, acme/colbert in {snapshot}" in cached
    assert "kayak_colbert: loading acme/colbert from the cache" in cached
    assert "the network was asked" not in cached
    assert shape_line(cached) == shape_line(fetched)

    # A newer version was asked for, and there is no network.
    assert "It is in the cache: leave local_files_only out to open that" in in_a_process(
        tmp_path, local_files_only=False
    )

    # A download that was cut off.
    next(snapshot.rglob("model.safetensors")).unlink()
    assert "error 'acme/colbert' is to be fetched, but the Hugging Face Hub cannot be reached" in in_a_process(tmp_path)


def shape_line(shown: str) -> str:
    return next(line for line in shown.splitlines() if line.startswith("shape "))


def test_no_network_says_what_to_do(tmp_path: Path) -> None:
    shown = in_a_process(tmp_path)
    assert "error 'acme/colbert' is to be fetched, but the Hugging Face Hub cannot be reached (the network" in shown
    assert "Fetch it once where the network is there (`hf download acme/colbert`) and copy the cache" in shown
    assert "source not loaded yet" in shown


@pytest.mark.parametrize(
    ("written", "arguments", "message"),
    [
        ("sentence", {}, "acme/colbert is a SentenceTransformer checkpoint, not one for late interaction"),
        ("stanford", {"model_name": "acme/other"}, "the Hugging Face Hub does not give 'acme/other': 404"),
        ("stanford", {"revision": "v9"}, "the Hugging Face Hub does not give 'acme/colbert' at revision 'v9': 404"),
    ],
)
def test_what_the_hub_does_not_have(
    checkpoint: Checkpoint, tmp_path: Path, written: str, arguments: dict[str, str], message: str
) -> None:
    with hub.serve("acme/colbert", checkpoint(written)) as endpoint:
        shown = in_a_process(tmp_path, endpoint, **arguments)
    assert f"error {message}" in shown
    assert not list(tmp_path.rglob("*.safetensors"))


class TestLoadedModels:
    def test_of_sentence_transformers(self, checkpoint: Checkpoint) -> None:
        from sentence_transformers import MultiVectorEncoder

        model = MultiVectorEncoder(str(checkpoint("stanford")), local_files_only=True, device="cpu")
        adapted: Any = kayak.open_encoder("colbert", model=model)
        opened = open_colbert(checkpoint("stanford"))
        assert adapted.fingerprint == opened.fingerprint
        assert adapted.source == "the MultiVectorEncoder that was given"
        assert "model=…" in repr(adapted)
        texts = checkpoints.TEXTS[:3]
        for mine, theirs in zip(adapted.encode_document_batch(texts), opened.encode_document_batch(texts), strict=True):
            assert np.array_equal(mine, theirs)

    def test_of_one_vector_a_text_is_refused(self, checkpoint: Checkpoint) -> None:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(checkpoint("sentence")), local_files_only=True, device="cpu")
        with pytest.raises(kayak.InvalidTypeError, match="got SentenceTransformer; one vector a text is no late inter"):
            kayak.open_encoder("colbert", model=model)

    def test_a_failure_names_the_text(self, checkpoint: Checkpoint) -> None:
        import torch
        from sentence_transformers import MultiVectorEncoder

        class Full(torch.nn.Module):
            def forward(self, features: Any) -> Any:
                raise torch.OutOfMemoryError("out of memory")

        model = MultiVectorEncoder(str(checkpoint("stanford")), local_files_only=True, device="cpu")
        model.append(Full())
        adapted: Any = kayak.open_encoder("colbert", model=model)
        with pytest.raises(
            kayak.EncodingError, match="fails on document 'a' and 1 other texts: out of memory; a smaller"
        ):
            adapted.encode_documents(["a", "b"], ["thin wings", "lift"])


class PyLateShaped:
    """The methods of PyLate's `ColBERT` that the adapter calls, over the tiny checkpoint in PyLate's format.

    `benchmarks/colbert_parity.py` runs the adapter over PyLate itself, which needs an environment of its own.
    """

    def __init__(self, folder: Path, *, expansion: bool = True) -> None:
        from sentence_transformers import MultiVectorEncoder

        self.inner = MultiVectorEncoder(str(folder), local_files_only=True, device="cpu")
        if not expansion:
            self.inner[0].query_expansion = None
            self.inner[0].query_length = checkpoints.QUERY_LENGTH
        self.tokenizer = self.inner.tokenizer
        self.query_prefix, self.document_prefix = "[Q] ", "[D] "
        self.query_prefix_id, self.document_prefix_id = self.tokenizer.convert_tokens_to_ids(["[Q] ", "[D] "])
        self.query_length, self.document_length = checkpoints.QUERY_LENGTH, checkpoints.DOCUMENT_LENGTH
        self.do_query_expansion, self.attend_to_expansion_tokens = expansion, False
        self.skiplist_words = list(self.inner[2].skiplist_words)
        self.skiplist = self.tokenizer.convert_tokens_to_ids(self.skiplist_words)

    def __iter__(self) -> Any:
        return iter(self.inner)

    def state_dict(self) -> Any:
        return self.inner.state_dict()

    def get_sentence_embedding_dimension(self) -> int:
        return checkpoints.DIM

    def encode(self, sentences: list[str], *, is_query: bool = True, pool_factor: int = 1, **options: Any) -> Any:
        if is_query:
            return self.inner.encode_query(sentences, **options)
        found = self.inner.encode_document(sentences, **options)
        return [vectors[:: int(pool_factor)] for vectors in found]

    def tokenize(self, texts: list[str], *, is_query: bool = True) -> Any:
        return self.inner.preprocess(
            texts, prompt="[Q] " if is_query else "[D] ", task="query" if is_query else "document"
        )

    def skiplist_mask(self, ids: Any, skiplist: list[int]) -> Any:
        import torch

        return ~torch.isin(ids, torch.tensor(skiplist))


@pytest.mark.filterwarnings("ignore:.* tokens, and the model reads the first")
class TestPyLateModels:
    def test_vectors_are_those_of_pylate(self, checkpoint: Checkpoint) -> None:
        adapted: Any = kayak.open_encoder("colbert", model=PyLateShaped(checkpoint("pylate")))
        with np.load(Path(__file__).parent / "expected" / "pylate.npz", allow_pickle=False) as kept:
            for place, vectors in enumerate(adapted.encode_document_batch(checkpoints.TEXTS)):
                assert np.allclose(vectors, kept[f"document_{place}"], atol=1e-4)
            for place, query in enumerate(adapted.encode_queries(checkpoints.QUERIES)):
                assert np.allclose(query.as_vector_matrix(), kept[f"query_{place}"], atol=1e-4)
        assert (adapted.truncated_documents, adapted.truncated_queries) == (1, 1)

    @pytest.mark.parametrize("expansion", [True, False])
    def test_tokens(self, checkpoint: Checkpoint, expansion: bool) -> None:
        adapted: Any = kayak.open_encoder("colbert", model=PyLateShaped(checkpoint("pylate"), expansion=expansion))
        assert adapted.tokens("thin wings.") == ["[CLS]", "[D]", "thin", "wings", "[SEP]"]
        assert adapted.query_tokens("wing")[:4] == ["[CLS]", "[Q]", "wing", "[SEP]"]
        assert len(adapted.query_tokens("wing")) == adapted.encode_query("wing").vector_count

    def test_pooling(self, checkpoint: Checkpoint) -> None:
        model = PyLateShaped(checkpoint("pylate"))
        pooled: Any = kayak.open_encoder("colbert", model=model, token_pooling=2)
        assert len(pooled.encode_document_vectors("thin wings")) == 3
        assert pooled.fingerprint != kayak.open_encoder("colbert", model=model).fingerprint  # type: ignore[attr-defined]
        with pytest.raises(kayak.UnsupportedOperationError, match="PyLate does not say which tokens it pooled"):
            pooled.tokens("thin wings")
        with pytest.raises(kayak.InvalidTypeError, match=r"a PyLate model pools by a whole factor .* got 1\.5"):
            kayak.open_encoder("colbert", model=model, token_pooling=1.5)
        with pytest.raises(kayak.InvalidInputError, match="token_pooling=0 keeps one vector in so many"):
            kayak.open_encoder("colbert", model=model, token_pooling=0)
