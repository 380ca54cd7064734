"""Samples of a network's input: their layout, loading them from a file, and making some where none are given."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.errors import Collector, CompileError, fail
from qcompile.ir.graph import Graph
from qcompile.ir.model import Input, Reals
from qcompile.quantize.options import QuantizeOptions

SYNTHETIC_COUNT = 64
SAMPLE_LIMIT = 1024

Samples = npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]] | None
_PREFERRED = ("x_calib", "calibration", "x", "x_train", "x_test", "input")


def as_samples(array: npt.NDArray[Any], shape: tuple[int, ...], where: str) -> Reals:
    """``array`` as float64 ``[n, *shape]``, where ``shape`` is the ONNX input's, batch 1 included.

    The first axis counts samples. Behind it, axes of size 1 may be left out or added, and samples may be
    flat where the input is not, or the reverse (row-major). QC201 naming ``where`` for any other shape, for
    types that are not numbers, and for NaN or infinity.
    """
    return checked_samples(array, shape, where).astype(np.float64)


def checked_samples(array: npt.NDArray[Any], shape: tuple[int, ...], where: str) -> npt.NDArray[Any]:
    """As `as_samples`, of the type that the array has."""
    layouts = dict.fromkeys((_shape("n", *shape), _shape("n", *_wide(shape))))
    needed = f"an array of numbers of shape {' or '.join(layouts)}"
    if array.dtype.kind not in "biuf":
        raise fail("QC201", where, f"the array has type {array.dtype}", f"give {needed}")
    if array.ndim == 0 or not _fits(_wide(array.shape[1:]), _wide(shape)):
        raise fail("QC201", where, f"the array has shape {_shape(*array.shape)}", f"give {needed}; n counts samples")
    if array.shape[0] == 0:
        raise fail("QC201", where, "the array holds no sample", f"give {needed} with n >= 1")
    samples = array.reshape(array.shape[0], *shape)
    finite = np.isfinite(samples)
    if not finite.all():
        bad = int((~finite).sum())
        raise fail("QC201", where, f"the array holds {bad} values that are NaN or infinite", "remove those samples")
    return samples


def load_samples(path: Path, shape: tuple[int, ...], array_name: str | None = None) -> Reals:
    """Samples from an ``.npy`` or ``.npz`` file, as `as_samples` lays them out.

    From an archive: the array ``array_name``, else the one usually named so that fits, else the only one that
    fits. QC201 where there is none.
    """
    where = str(path)
    try:
        held = np.load(path, allow_pickle=False)
        if isinstance(held, np.ndarray):
            return as_samples(held, shape, where)
        with held:
            arrays = {name: held[name] for name in held.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise fail(
            "QC201", where, f"cannot be read as NumPy data ({error})", "write it with numpy.save or numpy.savez"
        ) from None
    if array_name is not None:
        if array_name not in arrays:
            raise fail("QC201", where, f"holds no array {array_name!r}", f"name one of {', '.join(sorted(arrays))}")
        return as_samples(arrays[array_name], shape, f"{where}:{array_name}")
    fitting = dict(_fitting(arrays, shape))
    for name in _PREFERRED:
        if name in fitting:
            return fitting[name]
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    held_arrays = ", ".join(f"{name} {_shape(*array.shape)}" for name, array in sorted(arrays.items()))
    count = "no array fits" if not fitting else "more than one array fits"
    raise fail(
        "QC201",
        where,
        f"{count} the input: {held_arrays or 'the archive is empty'}",
        f"name one array of shape {_shape('n', *shape)} or {_shape('n', *_wide(shape))} x_calib",
    )


def calibration_samples(
    graph: Graph, samples: Samples, options: QuantizeOptions, diagnostics: Collector
) -> dict[str, Reals]:
    """The samples for every input, at most `SAMPLE_LIMIT`, evenly spread; synthetic ones and a warning without any.

    QC201 where they do not fit.
    """
    inputs = {node.name: node.op for node in graph.nodes if isinstance(node.op, Input)}
    if samples is None:
        low, high = options.input_range
        limits = [op.integer for op in inputs.values() if op.integer is not None]
        span = f"the integers {limits[0][0]}..{limits[0][1]}" if limits else f"{low:g}..{high:g}"
        diagnostics.warning(
            "QC202",
            graph.name,
            f"no calibration data: ranges come from {SYNTHETIC_COUNT} synthetic samples, uniform over {span}",
            "give real samples with --calibrate x.npz, or the inputs' range with input_range = [low, high] "
            "under [quantize] in qcompile.toml",
        )
        return {name: synthetic_samples(op, low, high) for name, op in inputs.items()}
    if not isinstance(samples, Mapping):
        if len(inputs) != 1:
            diagnostics.error(
                "QC201",
                graph.name,
                f"one calibration array for {len(inputs)} inputs",
                f"give an archive with the arrays {', '.join(inputs)}",
            )
            diagnostics.check()
        samples = dict.fromkeys(inputs, samples)
    found: dict[str, Reals] = {}
    for name, op in inputs.items():
        if name not in samples:
            diagnostics.error(
                "QC201", f'input "{name}"', "the calibration data have no such array", f"add an array named {name}"
            )
            continue
        with diagnostics.collecting():
            found[name] = as_samples(np.asarray(samples[name]), op.shape, f'input "{name}"')
    counts = {name: len(array) for name, array in found.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        diagnostics.error(
            "QC201", graph.name, f"inputs have different numbers of samples: {listed}", "give each input as many"
        )
    diagnostics.check()
    return {name: array[:: -(-len(array) // SAMPLE_LIMIT)] for name, array in found.items()}


def synthetic_samples(op: Input, low: float, high: float) -> Reals:
    """Samples uniform over ``low..high`` (over the type's limits, as integers, for integer inputs); seeded."""
    random = np.random.default_rng(0)
    shape = (SYNTHETIC_COUNT, *op.shape)
    if op.integer is not None:
        return random.integers(op.integer[0], op.integer[1], shape, endpoint=True).astype(np.float64)
    return random.uniform(low, high, shape)


def _fitting(arrays: dict[str, npt.NDArray[Any]], shape: tuple[int, ...]) -> Iterator[tuple[str, Reals]]:
    for name, array in arrays.items():
        try:
            yield name, as_samples(array, shape, name)
        except CompileError:
            continue


def _fits(found: tuple[int, ...], needed: tuple[int, ...]) -> bool:
    return found == needed or (prod(found) == prod(needed) and 1 in (len(found), len(needed)))


def _wide(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _shape(*sizes: int | str) -> str:
    return f"[{', '.join(map(str, sizes))}]"
