"""Names a model by what it does: equal names mean equal vectors."""

from __future__ import annotations

import hashlib
import json

from kayak_colbert.models import TokenModel

_FORMAT = "v1"
"""Part of the name: raise it with any change to how texts become vectors."""


def content_hash(model: TokenModel) -> str:
    """Return 16 hexadecimal digits over weights, vocabulary and settings; lengths have a place of their own."""
    digest = hashlib.sha256(_FORMAT.encode())
    digest.update(json.dumps(model.settings(), sort_keys=True, default=str).encode())
    digest.update(model.vocabulary().encode())
    for name, tensor in sorted(model.weights().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes_of(tensor))
    return digest.hexdigest()[:16]


def _bytes_of(tensor: object) -> bytes:
    import torch

    flat = torch.as_tensor(tensor).detach().cpu().contiguous().flatten()
    return bytes(flat.view(torch.uint8).numpy()) if flat.numel() else b""
