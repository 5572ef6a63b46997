"""Writes small checkpoints in the formats of Stanford ColBERT, PyLate and sentence-transformers.

The weights come from NumPy's generator, so that they are the same under every version of torch; `benchmarks/
colbert_parity.py` writes the same checkpoints for the peers whose vectors are stored in `expected/`.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

WORDS = (
    "thin wing wings flutter at high speed heat transfer in the boundary layer of a blunt body flow over flat plate "
    "supersonic shock wave pressure drag lift what is an theory for and experiment shell buckling"
).split()
QUERY_LENGTH, DOCUMENT_LENGTH = 16, 48
DIM = 16

TEXTS = (
    "Thin wings flutter at high speed.",
    "heat transfer in the boundary layer of a blunt body: theory, and experiment",
    "a",
    "the flow over a flat plate " * 12,
    "supersonic zzz (shock) wave - 42 %!",
)
QUERIES = ("what is flutter of thin wings", "heat", "pressure " * 30)


@attrs.frozen
class Backbone:
    """A BERT model as plain arrays.

    Attributes:
        config: the contents of its `config.json`.
        tensors: parameters by name, as `BertModel` names them.
        tokenizer_files: folder with the files of its tokenizer.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, npt.NDArray[np.float32]]
    tokenizer_files: Path


def tiny_backbone(folder: Path, seed: int = 0) -> Backbone:
    """Make a BERT of two layers whose vocabulary is a few words and all letters; its tokenizer goes to `folder`."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    special = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = list(dict.fromkeys([*special, *letters, *(f"##{letter}" for letter in letters), *WORDS]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    _write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 64},
    )
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "vocab_size": len(vocabulary),
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "dtype": "float32",
    }
    return Backbone(config, _random_tensors(config, seed), folder)


def projection(backbone: Backbone, dim: int = DIM, seed: int = 1) -> npt.NDArray[np.float32]:
    """Return a matrix of shape (dim, hidden size) with orthonormal rows."""
    hidden = backbone.config["hidden_size"]
    square = np.random.default_rng(seed).standard_normal((hidden, hidden))
    return np.ascontiguousarray(np.linalg.qr(square)[0][:dim], dtype=np.float32)


def write_stanford(folder: Path, backbone: Backbone, weight: npt.NDArray[np.float32], **metadata: Any) -> Path:
    """Write what `colbert-ai` writes: BERT with `linear.weight`, and `artifact.metadata`."""
    _copy_tokenizer(backbone, folder)
    _write_json(folder / "config.json", {**backbone.config, "architectures": ["HF_ColBERT"]})
    tensors = {f"bert.{name}": value for name, value in backbone.tensors.items()}
    _save(folder / "model.safetensors", {**tensors, "linear.weight": weight})
    settings = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_token": "[Q]",
        "doc_token": "[D]",
        "dim": len(weight),
        "similarity": "cosine",
        "query_maxlen": QUERY_LENGTH,
        "doc_maxlen": DOCUMENT_LENGTH,
        "mask_punctuation": True,
        "attend_to_mask_tokens": False,
        "checkpoint": None,
    }
    _write_json(folder / "artifact.metadata", {**settings, **metadata})
    return folder


def write_pylate(folder: Path, backbone: Backbone, weight: npt.NDArray[np.float32], **settings: Any) -> Path:
    """Write what PyLate writes: a transformer whose vocabulary has its markers, and a projection beside it."""
    from transformers import AutoTokenizer

    _copy_tokenizer(backbone, folder)
    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    tokenizer.add_tokens(["[Q] ", "[D] "])
    tokenizer.save_pretrained(str(folder))
    words = "embeddings.word_embeddings.weight"
    known = backbone.tensors[words]
    added = len(tokenizer) - len(known)
    markers = 0.05 * np.random.default_rng(2).standard_normal((added, known.shape[1])).astype(np.float32)
    _write_json(folder / "config.json", {**backbone.config, "vocab_size": len(tokenizer)})
    _save(folder / "model.safetensors", {**backbone.tensors, words: np.concatenate([known, markers])})
    _write_json(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
        ],
    )
    longest = max(QUERY_LENGTH, DOCUMENT_LENGTH)
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": longest, "do_lower_case": False})
    _write_json(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "ColBERT",
            "prompts": {"query": "", "document": ""},
            "default_prompt_name": None,
            "similarity_fn_name": "MaxSim",
            "query_prefix": "[Q] ",
            "document_prefix": "[D] ",
            "query_length": QUERY_LENGTH,
            "document_length": DOCUMENT_LENGTH,
            "attend_to_expansion_tokens": False,
            "skiplist_words": list(string.punctuation),
            "do_query_expansion": True,
            **settings,
        },
    )
    dense = folder / "1_Dense"
    dense.mkdir(exist_ok=True)
    _write_json(
        dense / "config.json",
        {
            "in_features": weight.shape[1],
            "out_features": weight.shape[0],
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
            "use_residual": False,
        },
    )
    _save(dense / "model.safetensors", {"linear.weight": weight})
    return folder


def write_plain(folder: Path, backbone: Backbone) -> Path:
    """Write a plain BERT, which is no late-interaction model."""
    _copy_tokenizer(backbone, folder)
    _write_json(folder / "config.json", backbone.config)
    _save(folder / "model.safetensors", backbone.tensors)
    return folder


def write_native(folder: Path, source: Path) -> Path:
    """Write what `MultiVectorEncoder` writes, from a checkpoint in another format."""
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(source), local_files_only=True, device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def write_sentence_transformer(folder: Path, source: Path) -> Path:
    """Write a model of one vector a text, from a plain BERT."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    transformer = Transformer(str(source))
    pooling = Pooling(transformer.get_embedding_dimension())
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save_pretrained(
        str(folder), create_model_card=False
    )
    return folder


def _random_tensors(config: Mapping[str, Any], seed: int) -> dict[str, npt.NDArray[np.float32]]:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    for layer in range(config["num_hidden_layers"]):
        place = f"encoder.layer.{layer}"
        for part, rows, columns in (
            ("attention.self.query", hidden, hidden),
            ("attention.self.key", hidden, hidden),
            ("attention.self.value", hidden, hidden),
            ("attention.output.dense", hidden, hidden),
            ("intermediate.dense", inner, hidden),
            ("output.dense", hidden, inner),
        ):
            shapes[f"{place}.{part}.weight"], shapes[f"{place}.{part}.bias"] = (rows, columns), (rows,)
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{place}.{part}.weight"] = shapes[f"{place}.{part}.bias"] = (hidden,)
    shapes["pooler.dense.weight"], shapes["pooler.dense.bias"] = (hidden, hidden), (hidden,)
    generator = np.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes.items():
        values = generator.standard_normal(shape) * (1.0 if "word_embeddings" in name else 0.2)
        tensors[name] = (values + 1.0 if name.endswith("LayerNorm.weight") else values).astype(np.float32)
    return tensors


def _copy_tokenizer(backbone: Backbone, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        source = backbone.tokenizer_files / name
        if source.is_file():
            (folder / name).write_bytes(source.read_bytes())


def _save(path: Path, tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, str(path), {"format": "pt"})


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
