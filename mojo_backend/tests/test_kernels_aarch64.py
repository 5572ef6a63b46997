"""The kernels for aarch64, run under emulation: a C program loads the library and scores what the test wrote."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kayak_mojo.compiling import CompilerError, compile_kernels, kernels_folder
from kayak_mojo.packing import pack_panels

DRIVER = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
typedef ssize_t (*answer_t)(void);
typedef void (*maxsim_t)(void*, ssize_t, void*, ssize_t, void*, void*, void*, ssize_t, ssize_t, ssize_t, void*, void*,
                         ssize_t);
static void* load(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  if (!file) exit(3);
  fseek(file, 0, SEEK_END); *size = ftell(file); rewind(file);
  void* data = aligned_alloc(64, (*size + 63) / 64 * 64 + 64);
  if (fread(data, 1, *size, file) != *size) exit(3);
  fclose(file);
  return data;
}
int main(int count, char** names) {
  void* library = dlopen(names[1], RTLD_NOW);
  if (!library) { fprintf(stderr, "%s\n", dlerror()); return 2; }
  if (count == 2) { printf("%zd", ((answer_t)dlsym(library, "kayak_panel_width"))()); return 0; }
  size_t size, offsets_size, query_size, vector_size;
  void* panels = load("panels", &size);
  void* queries = load("queries", &query_size);
  void* vectors = load("vectors", &vector_size);
  void* offsets = load("offsets", &offsets_size);
  ssize_t panel_count = atol(names[3]), dim = atol(names[4]), width = atol(names[5]);
  ssize_t query_count = query_size / 8 - 1, documents = offsets_size / 8 - 1;
  float* maxima = aligned_alloc(64, panel_count * width * 4 + 64);
  float* scores = calloc(query_count * documents, 4);
  ((maxsim_t)dlsym(library, names[2]))(panels, panel_count, queries, query_count, vectors, offsets, NULL, 0, documents,
                                       dim, maxima, scores, documents);
  FILE* out = fopen("scores", "wb");
  fwrite(scores, 4, query_count * documents, out);
  fclose(out);
  return 0;
}
"""


@pytest.fixture(scope="module")
def emulated(tmp_path_factory):
    """Compile library and driver; return the command that runs the driver, and the folder it runs in."""
    if platform.machine() == "aarch64":
        pytest.skip("this machine is aarch64: the other tests of the kernels run on it")
    tools = {name: shutil.which(name) for name in ("qemu-aarch64", "aarch64-linux-gnu-gcc")}
    beside = Path(sys.executable).parent / "mojo"
    tools["mojo"] = str(beside) if beside.is_file() else shutil.which("mojo")
    missing = [name for name, path in tools.items() if path is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} missing; Debian's qemu-user and gcc-aarch64-linux-gnu bring the first two")
    folder = tmp_path_factory.mktemp("aarch64")
    (folder / "driver.c").write_text(DRIVER, encoding="utf-8")
    try:
        compile_kernels([tools["mojo"]], kernels_folder(), "aarch64", folder / "kernels.so")
    except CompilerError as error:
        pytest.fail(str(error))
    command = [tools["aarch64-linux-gnu-gcc"], "-O1", "-o", "driver", "driver.c", "-ldl"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return [tools["qemu-aarch64"], "-L", "/usr/aarch64-linux-gnu", "./driver", "./kernels.so"], folder


@pytest.mark.soak
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("dim", [64, 96, 100, 128, 256, 384, 768])
def test_scores_agree_with_float64(emulated, dim, dtype):
    command, folder = emulated
    width = int(subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout)
    rng = np.random.default_rng(dim)
    query_counts, counts = [1, 5, 32, 33], [1, 2, 3, 11, 12, 13, 40, 200]
    queries = rng.standard_normal((sum(query_counts), dim)).astype(np.float32)
    vectors = rng.standard_normal((sum(counts), dim)).astype(dtype)
    vectors[3:6] = -np.abs(vectors[3:6])  # similarities of one sign, too
    panels, _, _ = pack_panels(queries, width)
    query_offsets, offsets = np.cumsum([0, *query_counts]), np.cumsum([0, *counts])
    for name, array in {"panels": panels, "queries": query_offsets, "vectors": vectors, "offsets": offsets}.items():
        array.tofile(folder / name)
    function = "kayak_maxsim_f32" if dtype is np.float32 else "kayak_maxsim_f16"
    subprocess.run([*command, function, str(len(panels)), str(dim), str(width)], cwd=folder, check=True)
    scores = np.fromfile(folder / "scores", dtype=np.float32).reshape(len(query_counts), len(counts))
    products = queries.astype(np.float64) @ vectors.astype(np.float64).T
    best = np.maximum.reduceat(products, offsets[:-1], axis=1)
    expected = np.add.reduceat(best, query_offsets[:-1], axis=0)
    # A dot product near zero is a difference of large terms: what counts is its error beside those.
    terms = np.abs(queries).astype(np.float64) @ np.abs(vectors).astype(np.float64).T
    scale = np.add.reduceat(np.maximum.reduceat(terms, offsets[:-1], axis=1), query_offsets[:-1], axis=0)
    assert np.all(np.abs(scores - expected) <= 1e-6 * scale)
