"""Samples: layouts, files, and the diagnostics for what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qcompile.errors import CompileError
from qcompile.ir.model import Input
from qcompile.quantize import as_samples, load_samples, synthetic_samples

IMAGE = (1, 1, 4, 6)


@pytest.mark.parametrize("shape", [(1, 1, 4, 6), (1, 4, 6), (4, 6), (1, 1, 1, 4, 6), (4, 6, 1), (24,)])
def test_axes_of_size_one_and_flattening_do_not_matter(shape: tuple[int, ...]) -> None:
    array = np.arange(5 * 24, dtype=np.uint8).reshape(5, *shape)
    samples = as_samples(array, IMAGE, "x")
    assert samples.dtype == np.float64
    assert np.array_equal(samples, np.arange(5 * 24).reshape(5, *IMAGE))


def test_images_may_feed_a_flat_input() -> None:
    assert as_samples(np.zeros((5, 4, 6), np.int8), (1, 24), "x").shape == (5, 1, 24)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, np.float32, np.float64])
def test_every_number_type_is_read(dtype: type) -> None:
    assert as_samples(np.ones((2, 4, 6), dtype), IMAGE, "x").sum() == 48


def told(array: object, shape: tuple[int, ...] = IMAGE) -> str:
    with pytest.raises(CompileError) as caught:
        as_samples(np.asarray(array), shape, 'input "x"')
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "QC201"
    return str(diagnostic)


def test_another_shape_is_refused_with_both_shapes() -> None:
    assert told(np.zeros((5, 6, 4))) == (
        'error[QC201]: input "x": the array has shape [5, 6, 4]\n'
        "  = help: give an array of numbers of shape [n, 1, 1, 4, 6] or [n, 4, 6]; n counts samples"
    )


def test_channels_last_images_are_not_taken_for_channels_first() -> None:
    assert "the array has shape [5, 4, 6, 3]" in told(np.zeros((5, 4, 6, 3)), (1, 3, 4, 6))


def test_one_sample_without_a_sample_axis_is_refused() -> None:
    assert "the array has shape [4, 6]" in told(np.zeros((4, 6)))
    assert "the array has shape []" in told(1.0)


def test_text_is_no_sample() -> None:
    assert told([["a"] * 24]) == (
        'error[QC201]: input "x": the array has type <U1\n'
        "  = help: give an array of numbers of shape [n, 1, 1, 4, 6] or [n, 4, 6]"
    )


def test_no_sample_at_all_is_refused() -> None:
    assert told(np.zeros((0, 4, 6))).startswith('error[QC201]: input "x": the array holds no sample\n')


def test_nan_and_infinity_are_counted_and_refused() -> None:
    array = np.zeros((2, 4, 6))
    array[0, 0, :2] = np.nan, np.inf
    assert told(array) == (
        'error[QC201]: input "x": the array holds 2 values that are NaN or infinite\n  = help: remove those samples'
    )


def test_an_npy_file_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((3, 4, 6)))
    assert load_samples(tmp_path / "x.npy", IMAGE).shape == (3, *IMAGE)


def test_an_archive_gives_the_calibration_array_first(tmp_path: Path) -> None:
    path = tmp_path / "all.npz"
    np.savez(path, x_test=np.zeros((3, 4, 6)), x_calib=np.ones((2, 4, 6)), y_test=np.zeros(3))
    assert load_samples(path, IMAGE).sum() == 48
    assert load_samples(path, IMAGE, "x_test").shape[0] == 3


def test_an_archive_gives_its_only_fitting_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", pictures=np.zeros((3, 4, 6)), labels=np.zeros(3))
    assert load_samples(tmp_path / "one.npz", IMAGE).shape[0] == 3


def file_told(path: Path, name: str | None = None) -> str:
    with pytest.raises(CompileError) as caught:
        load_samples(path, IMAGE, name)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "QC201"
    return str(diagnostic).replace(str(path), "FILE")


def test_an_archive_without_a_fitting_array_lists_what_it_has(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", b=np.zeros((3, 4)), a=np.zeros(3))
    assert file_told(tmp_path / "x.npz") == (
        "error[QC201]: FILE: no array fits the input: a [3], b [3, 4]\n"
        "  = help: name one array of shape [n, 1, 1, 4, 6] or [n, 4, 6] x_calib"
    )
    assert file_told(tmp_path / "x.npz", "c") == ("error[QC201]: FILE: holds no array 'c'\n  = help: name one of a, b")


def test_an_archive_with_two_fitting_arrays_asks_for_a_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", b=np.zeros((3, 4, 6)), a=np.zeros((3, 4, 6)))
    assert "FILE: more than one array fits the input: a [3, 4, 6], b [3, 4, 6]" in file_told(tmp_path / "x.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04cut", b"no array"])
def test_a_file_that_holds_no_array_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    told = file_told(tmp_path / "x.npz")
    assert told.startswith("error[QC201]: FILE: cannot be read as NumPy data (")
    assert told.endswith("  = help: write it with numpy.save or numpy.savez")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "cannot be read as NumPy data" in file_told(tmp_path / "none.npz")


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    assert "cannot be read as NumPy data" in file_told(tmp_path / "x.npy")


def test_synthetic_samples_lie_in_the_range_and_repeat() -> None:
    op = Input(IMAGE)
    first = synthetic_samples(op, -1, 3)
    assert first.shape == (64, *IMAGE) and -1 <= first.min() < -0.9 and 2.9 < first.max() < 3
    assert np.array_equal(first, synthetic_samples(op, -1, 3))


def test_synthetic_integers_cover_their_type() -> None:
    samples = synthetic_samples(Input((1, 40, 40), (-128, 127)), 0, 1)
    assert set(samples.ravel()) == set(range(-128, 128))
