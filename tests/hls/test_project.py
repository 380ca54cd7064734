"""The HLS project of whole networks: csim with every set of headers, text, and what happens without a tool."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hls_bench import BOARD, csims

import qcompile
from qcompile.backends.hls import emit, lint_no_runtime_multiplication
from qcompile.errors import CompileError
from qcompile.ir import hardware
from qcompile.verify import compiler
from qcompile.verify.csim import ap_types, build_csim
from qcompile.verify.vectors import pack, unpack

EXAMPLES = Path(__file__).parents[2] / "examples"


def compiled(name: str, **options: Any) -> qcompile.Compiled:
    with np.load(EXAMPLES / "digits.npz") as arrays:
        calibration, labels = arrays["x_calib"], arrays["y_calib"]
    return qcompile.compile(
        EXAMPLES / f"{name}.onnx",
        target="ultra96",
        calibration=calibration,
        labels=labels,
        weights="fixed:4",
        backend="hls",
        **options,
    )


@pytest.fixture(scope="module")
def images() -> Any:
    with np.load(EXAMPLES / "digits.npz") as arrays:
        return arrays["x_test"]


@pytest.fixture(scope="module")
def cnn() -> qcompile.Compiled:
    return compiled("digits_cnn")


@pytest.mark.xdist_group("hls_digits")
@pytest.mark.parametrize(("name", "fps"), [("digits_mlp", None), ("digits_cnn", None), ("digits_cnn", 50e3)])
def test_csim_and_the_native_emulator_give_the_emulators_bits_on_all_samples(
    images: Any, name: str, fps: float | None
) -> None:
    network = compiled(name, fps=fps)
    wanted = network.emulate(images)
    assert (network.csim(images) == wanted).all()
    assert (network.native(images) == wanted).all()


@pytest.mark.xdist_group("hls_digits")
def test_the_open_headers_give_the_same_bits(cnn: qcompile.Compiled, images: Any) -> None:
    headers = ap_types()
    if headers is None:
        pytest.skip("ap_types headers are not installed: pip install qcompile[hls]")
    hls = cnn.hls()
    codes = cnn.emulator.encode(images[:100].reshape(-1, 1, 8, 8).astype(float))
    found = unpack(build_csim(hls, headers, ("-O0",)).run(pack(codes, hls.source)), hls.sink)
    assert (found.ravel() == cnn.emulator.run(codes)[cnn.emulator.outputs[0].name].ravel()).all()


@pytest.mark.xdist_group("hls_digits")
def test_verify_compares_csim_and_the_native_emulator(images: Any) -> None:
    network = compiled("digits_cnn", emulator="native")
    result = network.verify(images, count=20)
    assert result["rtl_mismatches"] is None
    assert (result["csim_mismatches"], result["csim_samples"]) == (0, 20)
    assert (result["native_mismatches"], result["native_samples"]) == (0, 20)
    assert (network.emulate(images) == network.native(images)).all()


@pytest.mark.xdist_group("hls_digits")
def test_make_csim_needs_nothing_but_a_compiler(cnn: qcompile.Compiled, tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    cnn.write(tmp_path / "out")
    command = ["make", "-s", "-j2", "-C", str(tmp_path / "out" / "hls"), "CXXFLAGS=-O0 -Werror", "csim"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "digits_cnn: 16 frames, 0 differ\n", "")
    vectors = tmp_path / "out" / "hls" / "vectors" / "output.hex"
    text = vectors.read_text()
    vectors.write_text(text[:-2] + ("0" if text[-2] != "0" else "1") + "\n")
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "frame 15 differs" in run.stderr


def test_the_text_is_the_same_every_time(cnn: qcompile.Compiled) -> None:
    assert compiled("digits_cnn").hls() == cnn.hls()


def test_the_sources_are_as_clang_format_leaves_them(cnn: qcompile.Compiled, tmp_path: Path) -> None:
    # Beside this Python, whose folder need not be on PATH, or anywhere else.
    beside = shutil.which("clang-format", path=str(Path(sys.executable).parent))
    formatter = beside or shutil.which("clang-format")
    if formatter is None:
        pytest.skip("clang-format is not installed: pip install clang-format")
    files = cnn.hls().files | compiled("digits_cnn", fps=50e3).hls().files
    sources = [name for name in files if name.endswith((".cpp", ".hpp", ".h"))]
    for name in [*sources, ".clang-format"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(files[name])
    command = [formatter, "--dry-run", "-Werror", *sources]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stderr == ""


def test_no_function_is_longer_than_compilers_like(cnn: qcompile.Compiled) -> None:
    for name in cnn.hls().sources:
        functions = cnn.hls().files[name].split("\n}\n")
        assert max(function.count(";") for function in functions) < 400, name


def test_layers_nodes_and_pragmas_are_in_the_text(cnn: qcompile.Compiled) -> None:
    files = cnn.hls().files
    text = files["digits_cnn.cpp"]
    assert "// Layer conv1 implements conv1, relu1." in text
    assert "void conv1(hls::stream<input_t> &x, hls::stream<conv1_t> &y)" in text
    for pragma in ("dataflow", "interface mode = axis", "stream variable = conv1_out depth = 2"):
        assert f"#pragma HLS {pragma}" in text
    for pragma in ("pipeline II = 1", "array_partition", "bind_storage", "bind_op"):
        assert f"#pragma HLS {pragma}" in files["stream_ops.hpp"]
    assert "config_op add -impl fabric" in files["run_hls.tcl"]
    assert "syn.op=op:add impl:fabric" in files["hls_config.cfg"]
    assert "part=xczu3eg" in files["hls_config.cfg"]


def test_nothing_that_becomes_hardware_multiplies(cnn: qcompile.Compiled) -> None:
    for name in cnn.hls().synthesized:
        assert lint_no_runtime_multiplication(cnn.hls().files[name]) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("y = a * b;", 1),
        ("y = a / 3;", 1),
        ("y = a % N;", 1),
        ("a *= 2;", 1),
        ("y = f(N) * 2;", 1),
        ("y = x[3] * 4;", 1),
        ("y = (a + 1) * 2;", 1),
        ("y = 4 * (N + b);", 1),
        ('// a * b\n#define a * b\nputs("a * b"); /* a * b */', 0),
        ("const int A = (N - 1) * M, B = Kernel::rows * 2, C = 8 * sizeof(word);", 0),
        ("return (N + 1) / 2;", 0),
        ("void f(int *p, const char *q);", 0),
    ],
)
def test_the_lint_finds_products_of_run_time_values(text: str, count: int) -> None:
    assert len(lint_no_runtime_multiplication(text)) == count


def test_the_lint_says_where() -> None:
    assert lint_no_runtime_multiplication("int y;\ny = a * b;") == ["line 2: `*` in `y = a * b;`"]


# Refusals -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unknown(hardware.HardwareOp):
    """A component without C++."""

    mnemonic: ClassVar[str] = "unknown"

    def result_type(self, *operands: hardware.Stream) -> hardware.Stream:
        return operands[0]


def test_a_component_without_cpp_is_refused(cnn: qcompile.Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cnn.hardware is not None
    monkeypatch.setitem(hardware.HARDWARE.registry, "unknown", Unknown)
    design = cnn.hardware.design
    nodes = tuple(
        replace(node, op=Unknown("pool1")) if node.op.mnemonic == "register_slice" else node
        for node in design.graph.nodes
    )
    with pytest.raises(
        CompileError, match=r'error\[QC401\]: "pool1": unknown has no HLS C\+\+\n  = help: take --backend'
    ):
        emit(replace(design, graph=replace(design.graph, nodes=nodes)), "net", BOARD)


def test_a_missing_compiler_is_named(cnn: qcompile.Compiled, images: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    fresh = compiled("digits_cnn")
    with pytest.raises(CompileError, match=r"QC503.*no C\+\+ compiler"):
        fresh.csim(images[:1])


def test_a_target_of_another_vendor_asks_for_a_part(cnn: qcompile.Compiled) -> None:
    assert cnn.hardware is not None
    hls = emit(cnn.hardware.design, "net", qcompile.targets.get("ulx3s-85"))
    assert "# part=\n" in hls.files["hls_config.cfg"]
    assert 'set part ""' in hls.files["run_hls.tcl"]


def test_transfers_of_the_wrong_shape_are_refused(cnn: qcompile.Compiled, tmp_path: Path) -> None:
    simulation = csims({"cnn": cnn.hls()}, tmp_path, ("-O0", "shim"))["cnn"]
    with pytest.raises(ValueError, match=r"inputs must be uint8 \[3, 64, 1\], not uint8 \[3, 63, 1\]"):
        simulation.run(np.zeros((3, 63, 1), np.uint8))
