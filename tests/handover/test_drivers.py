"""The drivers in Python and C give the emulator's bits, for every grid that an input can have."""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
from dataclasses import dataclass, field, replace
from fractions import Fraction as Q
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from handover_example import Written, written

from qcompile import targets
from qcompile.emulator import Emulator
from qcompile.errors import CompileError
from qcompile.handover import Block, Bus, codec, driver_files
from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.hardware import Stream
from qcompile.numerics.bipolar import BipolarQuantizer
from qcompile.numerics.function import Affine
from qcompile.numerics.minifloat import MiniFloatQuantizer
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding
from qcompile.numerics.span import Span
from qcompile.verify.compiler import find_compiler
from qcompile.verify.vectors import pack

PLAIN = Affine((Q(1),), (Q(0),))
IMAGENET = Affine(tuple(1 / Q(str(s)) for s in (0.229, 0.224, -0.225)), tuple(Q(k, 3) for k in (-2, 1, 5)))


@dataclass(frozen=True)
class Ends:
    """A network that only moves codes from its input to its output: the host's side of any."""

    quantizer: Quantizer
    affine: Affine = PLAIN
    scale: tuple[Q, ...] = (Q(1, 4),)
    offset: tuple[Q, ...] = (Q(0),)
    host: str | None = None
    channels_first: bool = False

    def graph(self) -> Graph:
        """Two rows, four columns, three channels."""
        order, back = np.arange(24).reshape(2, 4, 3), np.arange(24)
        shape = (1, 2, 4, 3)
        if self.channels_first:
            order = np.arange(24).reshape(3, 2, 4).transpose(1, 2, 0)
            shape, back = (1, 3, 2, 4), order.ravel().argsort()
        source = integer.Input(shape, Array(order), self.affine, self.quantizer)
        sink = integer.Output(shape, Array(back.reshape(shape)), self.scale, self.offset, self.host)
        return Graph(integer.INTEGER, "ends", (Node("x", source), Node("y", sink, ("x",))), ("y",))


INT8 = Quantizer((Q(1, 16),), low=-128, high=127)
CASES = {
    **{f"int8 {mode}": Ends(replace(INT8, rounding=mode, scale=(Q(3, 7),))) for mode in Rounding},
    "a power of two": Ends(INT8),
    "zero point": Ends(Quantizer((Q(np.float32(0.0173).item()),), (Q(17),), 0, 255)),
    "fractional zero point": Ends(Quantizer((Q(1, 3),), (Q(5, 4),), -8, 7, zero_first=True)),
    "normalized by channel": Ends(INT8, IMAGENET, channels_first=True),
    "bipolar": Ends(BipolarQuantizer((Q(1),))),
    "float8": Ends(MiniFloatQuantizer.of((Q(1, 3),), 4, 3, 7, Q(448))),
    "twelve bits": Ends(Quantizer((Q(1, 300),), low=-2048, high=2047)),
    "output scales and offsets": Ends(
        INT8, scale=(Q(1, 3), Q(1, 7), Q(5)), offset=(Q(1, 10), Q(-7, 3), Q(0)), channels_first=True
    ),
    "softmax": Ends(INT8, host="softmax"),
}


def stream_of(graph: Graph, beats: int) -> Stream:
    return Stream(beats, graph.types["x"].spans * (24 // beats // 3))


def block_of(graph: Graph, beats: int) -> Block:
    stream = stream_of(graph, beats)
    return Block("ends", "ends", "0", targets.get("ultra96"), 200.0, Bus.of(stream), Bus.of(stream))


@dataclass
class C:
    """The driver in C, in this process."""

    library: ctypes.CDLL
    name: str
    kinds: dict[type, str] = field(default_factory=lambda: {np.float32: "f", np.int64: "q", np.uint8: "B"})

    def __call__(self, function: str, values: np.ndarray, size: int, kind: type) -> np.ndarray:
        results = np.empty((len(values), size), kind)
        for row, result in zip(np.ascontiguousarray(values), results, strict=True):
            getattr(self.library, f"{self.name}_{function}")(
                row.ctypes.data_as(ctypes.c_void_p), result.ctypes.data_as(ctypes.c_void_p)
            )
        return results

    def argmax(self, values: np.ndarray) -> list[int]:
        call = getattr(self.library, f"{self.name}_argmax")
        return [call(row.ctypes.data_as(ctypes.c_void_p)) for row in np.ascontiguousarray(values)]


def load(files: dict[str, str], folder: Path, name: str) -> tuple[ModuleType, C]:
    """Both drivers; the C without a warning."""
    for file, text in files.items():
        (folder / Path(file).name).write_text(text)
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, C(compiled_c(folder, name, "-shared", "-fPIC"), name)


def compiled_c(folder: Path, name: str, *flags: str, more: tuple[str, ...] = ()) -> ctypes.CDLL:
    compiler = "gcc" if find_compiler()[0].endswith("g++") else "clang"
    warnings = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-O1")
    command = [compiler, *warnings, *flags, f"{name}.c", *more, "-o", "driver.so", "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(folder / "driver.so"))


def in_words(packed: np.ndarray) -> np.ndarray:
    """Beats of bytes, each in whole words of 32 bits, one row per frame."""
    return np.pad(packed, ((0, 0), (0, 0), (0, -packed.shape[2] % 4))).reshape(len(packed), -1)


def samples_near_steps(emulator: Emulator, count: int = 60) -> np.ndarray:
    """float32 around every boundary of the grid, at it, and far away."""
    op = emulator.inputs[0].op
    found = codec(op, emulator.outputs[0].op, "y").encoder
    assert found is not None
    starts = np.array([float(text[:-1]) for channel in found.literals("c") for text in channel], np.float32)
    far = np.float32([0, -0.0, 1e30, -1e30, 1e-30, 0.5, -0.5])
    near = [np.nextafter(starts, np.float32(way)) for way in (-np.inf, np.inf)]
    values = np.concatenate([starts, *near, -starts, far])
    return np.random.default_rng(0).choice(values, (count, *op.onnx_shape[1:])).astype(np.float32)


@pytest.fixture(autouse=True, scope="module")
def compiler() -> None:
    try:
        find_compiler()
    except CompileError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("case", "beats"), [(case, beats) for case in CASES for beats in ((1,) if case.startswith("int8") else (1, 8))]
)
def test_both_drivers_give_the_emulators_bits(case: str, beats: int, tmp_path: Path) -> None:
    graph = CASES[case].graph()
    emulator, block = Emulator(graph), block_of(graph, beats)
    python, c = load(driver_files(block, codec(graph.by_name["x"].op, graph.by_name["y"].op, "y")), tmp_path, "ends")
    samples = samples_near_steps(emulator)
    codes = emulator.encode(samples)
    flat = codes.reshape(len(codes), -1).astype(np.int64)
    packed = in_words(pack(flat, stream_of(graph, beats)))
    decoded = emulator.decode(graph.by_name["y"], codes)

    assert (python.quantize(samples) == flat).all()
    assert (python.quantize(samples.astype(np.float64)) == flat).all()
    assert (python.pack(flat) == packed).all()
    assert (python.unpack(packed) == flat).all()
    real = python.dequantize(flat)
    assert ((python.softmax(real) if case == "softmax" else real) == decoded).all()

    assert (c("quantize", samples, 24, np.int64) == flat).all()
    assert (c("pack", flat, packed.shape[1], np.uint8) == packed).all()
    assert (c("unpack", packed, 24, np.int64) == flat).all()
    assert (c("dequantize", flat, 24, np.float64) == real.reshape(len(real), -1)).all()
    assert c.argmax(real.reshape(len(real), -1)) == real.reshape(len(real), -1).argmax(axis=1).tolist()


def test_lanes_of_any_width_and_sign_are_packed_as_the_hardware_does(tmp_path: Path) -> None:
    spans = [Span(0, 1), Span(-1, 0), Span(-4, 3), Span(0, 255), Span(-(2**16), 5), Span(-(2**40), 2**40), Span(0, 8)]
    stream = Stream(3, tuple(spans))
    graph = CASES["a power of two"].graph()
    block = replace(block_of(graph, 1), input=Bus.of(stream), output=Bus.of(stream))
    python, c = load(driver_files(block, codec(graph.by_name["x"].op, graph.by_name["y"].op, "y")), tmp_path, "ends")
    rng = np.random.default_rng(1)
    lanes = [rng.integers(span.low, span.high + 1, (50, 3)) for span in spans]
    codes = np.stack(lanes, axis=2).reshape(50, -1)
    packed = in_words(pack(codes, stream))
    assert (python.pack(codes) == packed).all() and (python.unpack(packed) == codes).all()
    assert (c("pack", codes, packed.shape[1], np.uint8) == packed).all()
    assert (c("unpack", packed, 21, np.int64) == codes).all()


def test_an_input_with_too_many_codes_takes_codes(tmp_path: Path) -> None:
    graph = Ends(Quantizer((Q(1, 3),), low=-(2**20), high=2**20)).graph()
    files = driver_files(block_of(graph, 1), codec(graph.by_name["x"].op, graph.by_name["y"].op, "y"))
    python, _ = load(files, tmp_path, "ends")
    assert not hasattr(python, "quantize") and not hasattr(python.Ends, "run") and hasattr(python.Ends, "run_codes")
    assert "quantize" not in files["driver/ends.h"].replace("dequantize", "").split("#ifndef")[1]


class FakeChannel:
    """One direction of a PYNQ DMA in front of the golden vectors."""

    def __init__(self, transfer) -> None:
        self.transfer = transfer

    def wait(self) -> None:
        pass


class FakeDma:
    """A DMA with the network behind it: answers batches of the packed inputs that it knows."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self.recvchannel = FakeChannel(self._receive)
        self.sendchannel = FakeChannel(self._send)
        self.answers = answers

    def _receive(self, buffer) -> None:
        self.buffer = buffer

    def _send(self, buffer) -> None:
        size = len(next(iter(self.answers)))
        frames = [bytes(buffer[start : start + size]) for start in range(0, len(buffer), size)]
        self.buffer[:] = np.frombuffer(b"".join(self.answers[frame] for frame in frames), np.uint8)


def golden(folder: Path) -> dict[bytes, bytes]:
    """Packed output by packed input, each beat in whole words, from the vector files."""
    sides = []
    for file in ("input.hex", "output.hex"):
        frames = (folder / "vectors" / file).read_text().split("// frame ")[1:]
        beats = ([bytes.fromhex(beat)[::-1] for beat in frame.split()[1:]] for frame in frames)
        sides.append([b"".join(beat + bytes(-len(beat) % 4) for beat in frame) for frame in beats])
    return dict(zip(*sides, strict=True))


def test_a_compiled_network_runs_through_the_python_driver(block: Written) -> None:
    spec = importlib.util.spec_from_file_location("driver_of_block", block.folder / "driver" / f"{block.name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.DigitsMlp(FakeDma(golden(block.folder)), allocate=np.empty)
    expected = block.compiled.emulate(block.images)
    assert (network.run(block.images) == expected).all()
    assert (network.classify(block.images) == expected.reshape(16, -1).argmax(axis=1)).all()


MODEL = """
#include <string.h>
/* A model of the AXI DMA's registers with the network behind it. */
extern const unsigned char input[], output[];
static uint32_t registers[32], resets;
static uintptr_t address(int at) { return (uintptr_t)registers[at + 6] | (uintptr_t)registers[at + 7] << 32; }
uint32_t model_read(uintptr_t at) {
    if (at == 0x00 && resets && --resets == 0) registers[0] = 0;
    return registers[at / 4];
}
void model_write(uintptr_t at, uint32_t value) {
    registers[at / 4] = value;
    if (at == 0x00 && (value & 4u)) { memset(registers, 0, sizeof registers); registers[0] = 4u; resets = 3; }
    if (at == 0x28) { /* the stream is taken once both channels run, and the receiver knows where to */
        const int ok = (registers[0] & 1u) && (registers[12] & 1u) && value == IN && registers[22] == OUT
            && !memcmp((void *)address(0), input, IN);
        if (ok) memcpy((void *)address(12), output, OUT);
        registers[1] = registers[13] = ok ? 2u : 1u << 4;
    }
}
"""


def test_a_compiled_network_runs_through_the_c_driver(block: Written, tmp_path: Path) -> None:
    """Register by register of the DMA, which a model in C stands for."""
    name = block.name
    for ending in "ch":
        (tmp_path / f"{name}.{ending}").write_text((block.folder / "driver" / f"{name}.{ending}").read_text())
    (sent, received), *_ = golden(block.folder).items()
    arrays = "".join(
        f"const unsigned char {side}[] = {{{', '.join(map(str, content))}}};\n"
        for side, content in (("input", sent), ("output", received))
    )
    head = f"#include <stdint.h>\n#include <stddef.h>\nenum {{ IN = {len(sent)}, OUT = {len(received)} }};\n"
    (tmp_path / "model.c").write_text(head + MODEL + arrays)
    (tmp_path / "model.h").write_text(
        "#include <stdint.h>\nuint32_t model_read(uintptr_t);\nvoid model_write(uintptr_t, uint32_t);\n"
        f"#define {name.upper()}_WRITE(a, v) model_write((a), (v))\n#define {name.upper()}_READ(a) model_read(a)\n"
    )
    library = compiled_c(tmp_path, name, "-shared", "-fPIC", "-include", "model.h", more=("model.c",))
    base = ctypes.c_size_t(0)
    sample = block.images[0].astype(np.float32).ravel()
    outputs = np.zeros(10)
    pointers = [values.ctypes.data_as(ctypes.c_void_p) for values in (sample, outputs)]
    run = getattr(library, f"{name}_run")
    assert run(ctypes.byref(base), *pointers) == -1  # not started
    assert getattr(library, f"{name}_start")(ctypes.byref(base)) == 0
    assert run(ctypes.byref(base), *pointers) == 0
    assert (outputs == block.compiled.emulate(block.images[:1]).ravel()).all()
    assert (getattr(library, f"{name}_argmax")(pointers[1])) == outputs.argmax()


@pytest.mark.parametrize("model", ["digits_cnn", "digits_cnn_qdq"])
def test_the_drivers_of_networks_with_images_and_zero_points_are_exact(model: str, tmp_path: Path) -> None:
    example = written(tmp_path / "build", model=model)
    files = {path.name: path.read_text() for path in (example.folder / "driver").iterdir()}
    (tmp_path / "driver").mkdir()
    python, c = load(files, tmp_path / "driver", example.name)
    codes = example.compiled.emulate_codes(example.images)
    known = golden(example.folder)
    packed = python.pack(python.quantize(example.images))
    assert [bytes(row) for row in packed] == list(known)
    results = np.array([list(known[bytes(row)]) for row in packed], np.uint8)
    assert (python.dequantize(python.unpack(results)) == example.compiled.emulate(example.images)).all()
    samples = example.images.reshape(16, -1).astype(np.float32)
    assert (c("quantize", samples, samples.shape[1], np.int64) == python.quantize(example.images)).all()
    assert (c("unpack", results, 10, np.int64) == codes.reshape(16, 10)).all()
