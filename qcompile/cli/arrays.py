"""Which array of which file: calibration data, verification samples and labels from .npy and .npz.

`data.npz:name` picks an array by name. Without a name, an archive gives the one that is usually called so.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.errors import fail

CALIBRATION_NAMES = ("x_calib", "x", "input", "calibration", "x_train")
SAMPLE_NAMES = ("x_test", "x", "input", "x_calib")
LABEL_NAMES = ("y_test", "y", "labels")


@dataclass(frozen=True)
class Picked:
    """An array and its place: ``name`` is None in a .npy file."""

    values: npt.NDArray[Any]
    path: Path
    name: str | None


def pick(spec: str, names: Sequence[str], option: str, code: str = "QC201") -> Picked:
    """The array that ``spec`` (`file` or `file.npz:name`) means, by the first of ``names`` there, else the only one."""
    match = re.fullmatch(r"(.+\.npz):([^:/]+)", spec)
    path = Path(match[1] if match else spec)
    arrays = _read(path, option, code)
    if None in arrays:
        return Picked(arrays[None], path, None)
    found = {name: array for name, array in arrays.items() if name is not None}
    if match:
        name = match[2]
        if name not in found:
            near = get_close_matches(name, list(found), n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise fail(code, f"{option} {path}", f"no array {name!r}", f"{hint}the archive holds {_shapes(found)}")
        return Picked(found[name], path, name)
    usual = [name for name in names if name in found] or (list(found) if len(found) == 1 else [])
    if not usual:
        raise fail(
            code,
            f"{option} {path}",
            f"the archive holds {_shapes(found) or 'no array'}",
            f"name the one to use, as in {path}:{next(iter(found), 'x')}",
        )
    return Picked(found[usual[0]], path, usual[0])


def samples_beside(calibration: Picked) -> Picked:
    """Verification samples where none are named: ``x_test`` of the calibration's archive, else that data itself."""
    if calibration.name is not None and calibration.name != "x_test":
        arrays = _read(calibration.path, "--calibrate", "QC201")
        if "x_test" in arrays:
            return Picked(arrays["x_test"], calibration.path, "x_test")
    return calibration


def labels_for(spec: str | None, samples: Picked) -> Picked | None:
    """Labels of ``samples``: a file, a name in the samples' archive, or (None) ``y_…`` beside its ``x_…``."""
    if spec is not None and (spec.endswith(".npy") or ".npz" in spec):
        return pick(spec, (_partner(samples.name), *LABEL_NAMES), "--labels", "QC205")
    if samples.name is None:
        if spec is None:
            return None
        raise fail("QC205", f"--labels {spec}", "the samples are not in an archive", "give a .npy or .npz file")
    if spec is not None:
        return pick(f"{samples.path}:{spec}", (), "--labels", "QC205")
    beside = _read(samples.path, "--samples", "QC201").get(_partner(samples.name))
    return None if beside is None else Picked(beside, samples.path, _partner(samples.name))


def check_labels(labels: Picked, samples: Picked) -> None:
    """QC205 unless there is one whole number for each sample."""
    values, count = labels.values, len(samples.values) if samples.values.ndim else 0
    if values.dtype.kind not in "iub" or values.ndim != 1 or len(values) != count:
        where = f"{labels.path}:{labels.name}" if labels.name else str(labels.path)
        raise fail(
            "QC205",
            f"--labels {where}",
            f"{_shapes({'labels': values})} of {values.dtype} for {count} samples",
            f"give {count} whole numbers, one class for each sample",
        )


def _partner(name: str | None) -> str:
    """The name of the labels that belong to samples of this name."""
    return "y" + name[1:] if name and re.match(r"x(_|$)", name) else "y"


def _read(path: Path, option: str, code: str) -> Mapping[str | None, npt.NDArray[Any]]:
    """Every array of an archive by name; the array of a .npy file under None."""
    where = f"{option} {path}"
    try:
        held = np.load(path, allow_pickle=False)
        if isinstance(held, np.ndarray):
            return {None: held}
        with held:
            return {name: held[name] for name in held.files}
    except OSError as error:
        raise fail(
            code, where, f"cannot be read: {error.strerror or error}", "give a .npy or .npz file that exists"
        ) from None
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        raise fail(
            code,
            where,
            "is not NumPy data, holds Python objects, or was cut short",
            "write plain arrays with numpy.save or numpy.savez",
        ) from None


def _shapes(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    return ", ".join(f"{name} [{', '.join(map(str, array.shape))}]" for name, array in arrays.items())
