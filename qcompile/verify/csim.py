"""HLS C++ compiled for this machine: csim with exact types, and the fast emulator with the host's integers."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qcompile.backends.hls import Hls
from qcompile.verify.compiler import (
    cache_folder,
    compile_all,
    digest_of,
    drop_old_builds,
    find_compiler,
    keep,
    run_compiler,
)

_FLAGS = ("-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-w")
_VECTOR_BYTES = (64, 32, 16)  # of a register: AVX-512, AVX2, anything else


class Csim:
    """The network's top function, loaded into this process."""

    def __init__(self, library: Path, hls: Hls) -> None:
        self._hls = hls
        self._run = ctypes.CDLL(str(library))[f"{hls.top}_csim"]
        self._run.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64)
        self._run.restype = ctypes.c_uint64

    def run(self, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Transfers ``[frames, beats, bytes]`` out of transfers in, as `qcompile.verify.vectors.pack` makes them.

        RuntimeError where TLAST is not on the last transfer of a frame, and on it alone.
        """
        source, sink = self._hls.source, self._hls.sink
        shape = (len(inputs), source.beats, -(-source.width // 8))
        if inputs.dtype != np.uint8 or inputs.shape != shape:
            raise ValueError(f"inputs must be uint8 {list(shape)}, not {inputs.dtype} {list(inputs.shape)}")
        inputs = np.ascontiguousarray(inputs)
        outputs = np.zeros((len(inputs), sink.beats, -(-sink.width // 8)), np.uint8)
        wrong = self._run(inputs.ctypes.data, outputs.ctypes.data, len(inputs))
        if wrong:
            raise RuntimeError(f"{wrong} transfers with a wrong TLAST, or too many of them")
        return outputs


class Native:
    """The network's layers on the host's integers, several samples in each vector register."""

    def __init__(self, library: Path, hls: Hls, lanes: int, word_bits: int) -> None:
        self._hls = hls
        self._lanes = lanes
        self._word = np.dtype(f"int{word_bits}")
        self._run = ctypes.CDLL(str(library))[f"{hls.top}_native"]
        self._run.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64)
        self._run.restype = None

    def run(self, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Output codes ``[samples, beats, lanes]`` of input codes ``[samples, ...]``, row-major beat by beat."""
        source, sink = self._hls.source, self._hls.sink
        count = len(codes)
        whole = -(-count // self._lanes) * self._lanes
        inputs = np.zeros((whole, source.beats, len(source.lanes)), self._word)
        inputs[:count] = codes.reshape(count, *inputs.shape[1:])
        outputs = np.zeros((whole, sink.beats, len(sink.lanes)), self._word)
        self._run(inputs.ctypes.data, outputs.ctypes.data, whole)
        return outputs[:count].astype(np.int64)


def ap_types() -> Path | None:
    """The folder with the open ap_int.h and hls_stream.h that the hls4ml package carries; None without it."""
    spec = importlib.util.find_spec("hls4ml")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        headers = Path(folder) / "templates" / "vivado" / "ap_types"
        if (headers / "ap_int.h").is_file():
            return headers
    return None


def build_csim(hls: Hls, headers: Path | None = None, flags: Sequence[str] = ("-O1",)) -> Csim:
    """csim of ``hls``, with the shim headers or those in folder ``headers``; QC503 without a C++ compiler."""
    include = [] if headers is None else [f"-I{headers}"]
    return Csim(_library(hls, hls.csim_entry, ("-std=c++14", *flags, *include, "-Ishim")), hls)


def build_native(hls: Hls) -> Native:
    """The fast emulator of ``hls`` for this machine's processor; QC503 without a C++ compiler."""
    compiler = find_compiler()
    lanes = _vector_bytes(compiler) * 8 // hls.word_bits
    word = f"-DQCOMPILE_WORD=int{hls.word_bits}_t"
    # C++17 allocates vector registers' types on their boundaries.
    flags = ("-std=c++17", "-O3", "-march=native", "-DQCOMPILE_NATIVE", word, f"-DQCOMPILE_LANES={lanes}", "-Ishim")
    return Native(_library(hls, hls.native_entry, (*flags, _processor())), hls, lanes, hls.word_bits)


def _vector_bytes(compiler: tuple[str, ...]) -> int:
    """Bytes of the processor's vector registers."""
    asked = [*compiler, "-march=native", "-dM", "-E", "-x", "c++", os.devnull]
    macros = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    known = {"__AVX512BW__": _VECTOR_BYTES[0], "__AVX2__": _VECTOR_BYTES[1]}
    return next((size for macro, size in known.items() if macro in macros), _VECTOR_BYTES[2])


def _processor() -> str:
    """A macro that names the processor, so that a cache on a shared disk never serves another one's code."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return f"-DQCOMPILE_PROCESSOR={digest_of(flags)}"


def _library(hls: Hls, entry: str, flags: Sequence[str]) -> Path:
    """The shared library of the sources and ``entry``, taken from the cache where it was built before."""
    compiler = find_compiler()
    sources = {name: hls.files[name] for name in hls.sources} | {"entry.cpp": entry}
    headers = {name: text for name, text in hls.files.items() if name.endswith((".h", ".hpp"))}
    texts = [text for name, content in sorted((sources | headers).items()) for text in (name, content)]
    library = cache_folder() / "builds" / f"{digest_of('hls', *compiler, *flags, *texts)}.so"
    if library.exists():
        library.touch()
        return library
    with tempfile.TemporaryDirectory(prefix="qcompile-csim-") as temporary:
        folder = Path(temporary)
        for name, text in (sources | headers).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        placed = [f"-I{folder / flag[2:]}" if flag == "-Ishim" else flag for flag in flags]
        units = [folder / name for name in sources]
        objects = compile_all(compiler, (*_FLAGS, *placed), units, folder)
        built = folder / "library.so"
        run_compiler([*compiler, "-shared", "-Wl,-Bsymbolic", "-o", str(built), *map(str, objects)])
        keep(built, library)
    drop_old_builds(library.parent)
    return library
