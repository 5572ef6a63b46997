"""Files of artifact parts: a checksummed header, then arrays, memory-mapped."""

from __future__ import annotations

import json
import mmap
import os
import uuid
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kayak.builtin.directory.faults import corrupt, file_errors
from kayak.builtin.directory.folder import sync_folder
from kayak.errors import InvalidInputError
from kayak.values.artifacts import ArtifactPart

ARTIFACTS = "artifacts"
REBUILD = "Remove it with `store.artifacts.write(name, ())`, and build it again."

_MAGIC = b"KAYAKART"
_FORMAT = 1
_ALIGNMENT = 64
_LENGTHS = 24  # magic, format, length of the header, its checksum
_KINDS = "biuf"


class StoredPart(NamedTuple):
    """What the catalog says about a part: its file, the bytes of it, and the checksum of its header."""

    file: str
    byte_size: int
    header_crc: int


def write_part(folder: Path, part: ArtifactPart) -> StoredPart:
    """Write a part into a new file, durably.

    Raises:
        InvalidInputError: facts that are no JSON, or arrays that do not hold numbers.
        StorePathError: the file cannot be written.
    """
    described: list[dict[str, Any]] = []
    arrays = []
    position = 0
    for name, array in part.arrays.items():
        if array.dtype.kind not in _KINDS:
            raise InvalidInputError(f"array {name!r} of an artifact must hold numbers, got {array.dtype}")
        values = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        data = values.reshape(-1).view(np.uint8)
        described.append(
            {
                "name": name,
                "dtype": values.dtype.str,
                "shape": list(array.shape),
                "position": position,
                "crc": zlib.crc32(data.data),
            }
        )
        arrays.append((position, data))
        position = _aligned(position + data.nbytes)
    try:
        header = json.dumps({"facts": dict(part.facts), "arrays": described}, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"the facts of an artifact must be JSON values: {error}") from error
    crc = zlib.crc32(header)
    start = _aligned(_LENGTHS + len(header))
    path = folder / ARTIFACTS / f"{uuid.uuid4().hex}.part"
    with file_errors(path, "write"):
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.write(_MAGIC + b"".join(n.to_bytes(4, "little") for n in (_FORMAT, len(header), crc, 0)) + header)
            for position, data in arrays:
                file.seek(start + position)
                file.write(data.data)
            size = file.seek(0, os.SEEK_END)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
        sync_folder(folder)
    return StoredPart(path.name, size, crc)


def read_part(folder: Path, stored: StoredPart) -> ArtifactPart:
    """Map a part, comparing all of it with its checksums.

    Raises:
        FileNotFoundError: the file is gone.
        StoreCorruptError: the file is not what was written.
        StorePathError: it cannot be read.
    """
    path = folder / ARTIFACTS / stored.file
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != stored.byte_size or size < _LENGTHS:
                raise corrupt(path, f"it has {size} bytes instead of {stored.byte_size}", REBUILD)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise
    except OSError:
        with file_errors(path, "read"):
            raise
    version, length, crc, _ = (int.from_bytes(mapped[8 + 4 * i : 12 + 4 * i], "little") for i in range(4))
    header = mapped[_LENGTHS : _LENGTHS + length]
    if mapped[:8] != _MAGIC or version != _FORMAT or crc != stored.header_crc or zlib.crc32(header) != crc:
        raise corrupt(path, "its header does not match its checksum", REBUILD)
    described = json.loads(header)
    start = _aligned(_LENGTHS + length)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for each in described["arrays"]:
        dtype, shape = np.dtype(each["dtype"]), tuple(each["shape"])
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(mapped, dtype, count, start + each["position"]) if count else np.empty(0, dtype)
        if zlib.crc32(array.view(np.uint8).data) != each["crc"]:
            raise corrupt(path, f"its array {each['name']!r} does not match its checksum", REBUILD)
        arrays[each["name"]] = array.reshape(shape)
    return ArtifactPart(described["facts"], arrays, stored.file)


def _aligned(position: int) -> int:
    return -(-position // _ALIGNMENT) * _ALIGNMENT
