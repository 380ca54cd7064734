"""The emulator's fast paths equal the operations' definitions on corner inputs."""

from fractions import Fraction

import numpy as np
import pytest

from qcompile.emulator import Emulator
from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.integer import INTEGER
from qcompile.ir.window import Window
from qcompile.numerics.function import Affine
from qcompile.numerics.quantizer import Quantizer
from qcompile.numerics.rounding import Rounding

IDENTITY = Affine((Fraction(1),), (Fraction(0),))
SAMPLES = 9


def _source(shape: tuple[int, ...], low: int, high: int, **options: object) -> integer.Input:
    order = Array(np.arange(int(np.prod(shape))).reshape(shape))
    quantizer = Quantizer((Fraction(1),), (Fraction(0),), low, high)
    return integer.Input((1, *shape), order, IDENTITY, quantizer)


def _graph(source: integer.Input, *chain: integer.IntegerOp) -> Graph:
    """A chain of operations; one with two operands takes the value before and itself."""
    nodes = [Node("x", source, ())]
    for k, op in enumerate(chain):
        previous = nodes[-1].name
        operands = (previous, previous) if isinstance(op, integer.WeightedSum | integer.Maximum) else (previous,)
        nodes.append(Node(f"v{k}", op, operands))
    shape = Graph(INTEGER, "g", tuple(nodes), (nodes[-1].name,)).types[nodes[-1].name].shape
    order = Array(np.arange(int(np.prod(shape))))
    nodes.append(Node("y", integer.Output((1, *shape), order, (Fraction(1),), (Fraction(0),)), (nodes[-1].name,)))
    return Graph(INTEGER, "g", tuple(nodes), ("y",)).verify()


def _defined(graph: Graph, sample: np.ndarray) -> dict[str, np.ndarray]:
    values = {graph.nodes[0].name: sample.astype(np.int64).astype(object)}
    for node in graph.nodes[1:]:
        values[node.name] = node.op.evaluate(*(values[name] for name in node.inputs))  # type: ignore[attr-defined]
    return values


def _corners(graph: Graph) -> np.ndarray:
    """All lowest, all highest, both in turns, and random codes."""
    kind = graph.types["x"]
    low, high = kind.span.low, kind.span.high
    random = np.random.default_rng(0)
    codes = random.integers(low, high + 1, (SAMPLES, *kind.shape))
    codes[0], codes[1] = low, high
    codes[2].reshape(-1)[::2], codes[2].reshape(-1)[1::2] = low, high
    return codes


def _check(graph: Graph) -> None:
    codes = _corners(graph)
    emulator = Emulator(graph)
    result, trace = emulator.run(codes.astype(np.float32))["y"], emulator.trace(codes)
    assert result.dtype == np.int64 or result.dtype == object
    for k, sample in enumerate(codes):
        defined = _defined(graph, sample)
        assert (result[k] == defined["y"]).all()
        for name, value in defined.items():
            assert (trace[name][k] == value).all(), name


def _weights(*shape: int, most: int = 127) -> Array:
    return Array(np.random.default_rng(1).integers(-most, most + 1, shape))


def _rescale(channels: int, shift: int = 7, rounding: Rounding = Rounding.FLOOR, low: int = -8) -> integer.Rescale:
    random = np.random.default_rng(2)
    factors = tuple(random.integers(-5, 6, channels).tolist())
    offsets = tuple(random.integers(-99, 100, channels).tolist())
    return integer.Rescale(factors, offsets, (shift,) * channels, low, 100, rounding)


@pytest.mark.parametrize("rounding", [Rounding.FLOOR, Rounding.HALF_EVEN])
@pytest.mark.parametrize(("bits", "shift"), [(4, 3), (8, 7), (8, 0), (12, 9), (30, 20), (45, 30)])
def test_a_product_and_its_rescaling(bits: int, shift: int, rounding: Rounding) -> None:
    """Up to 8 bits in one float32 kernel, then float64, then integers."""
    source = _source((6,), -(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    _check(_graph(source, integer.MatMul(_weights(6, 5)), _rescale(5, shift, rounding)))


def test_a_product_of_sequences() -> None:
    _check(_graph(_source((4, 6), -128, 127), integer.MatMul(_weights(6, 5)), _rescale(5)))


WINDOWS = [
    Window((3, 3)),
    Window((3, 3), pads=(1, 1, 1, 1)),
    Window((1, 1)),
    Window((1, 1), strides=(2, 2)),
    Window((2, 3), strides=(2, 1), pads=(0, 2, 1, 0)),
    Window((3, 2), dilations=(2, 3), pads=(2, 0, 0, 1)),
    Window((1, 5), strides=(1, 2), pads=(0, 2, 0, 2)),
    Window((7, 8)),
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize(("groups", "per", "outs"), [(1, 4, 3), (2, 2, 4), (4, 1, 4), (4, 1, 8)])
@pytest.mark.parametrize("fused", [True, False])
def test_convolutions(window: Window, groups: int, per: int, outs: int, fused: bool) -> None:
    op = integer.Conv(_weights(*window.kernel, per, outs), window, groups, fill=3)
    after = [_rescale(outs)] if fused else [integer.WeightedSum(((1,), (2,)), (-3,)), _rescale(outs)]
    _check(_graph(_source((7, 8, 4), 0, 15), op, *after))


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_pooling_between_convolutions(window: Window) -> None:
    source = _source((7, 8, 4), -9, 15)
    one = integer.Conv(_weights(1, 1, 4, 4), Window((1, 1)))
    _check(_graph(source, one, integer.MaxPool(window), one))
    _check(_graph(source, integer.SumPool(window, fill=-2), one, integer.Maximum()))


@pytest.mark.parametrize("pool", [Window((2, 2), (2, 2)), Window((3, 2), (1, 2), (1, 0, 1, 1))], ids=str)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_product_its_rescaling_and_a_max_pool(pool: Window, groups: int) -> None:
    conv = integer.Conv(_weights(3, 3, 4 // groups, 4), Window((3, 3), pads=(1, 1, 1, 1)), groups, fill=3)
    after = (_rescale(4), integer.MaxPool(pool))
    _check(_graph(_source((7, 8, 4), 0, 15), conv, *after))
    _check(_graph(_source((7, 8, 4), 0, 15), integer.MatMul(_weights(4, 4)), *after, integer.MaxPool(pool)))


def test_a_convolution_of_many_lines_is_done_in_parts() -> None:
    """More gathered values than one product takes, so that several lines are left for the last one."""
    window = Window((3, 3), pads=(1, 1, 1, 1))
    codes = np.random.default_rng(3).integers(0, 16, (5, 41, 37, 8)).astype(np.float32)
    graph = _graph(_source((41, 37, 8), 0, 15), integer.Conv(_weights(3, 3, 8, 2), window), _rescale(2))
    emulator = Emulator(graph)
    assert (emulator.run(codes)["y"] == emulator.trace(codes)["y"]).all()
    alone = [emulator.run(codes[k : k + 1])["y"][0] for k in range(len(codes))]
    assert (np.array(alone) == emulator.run(codes)["y"]).all()
    patches = window.patches(codes.astype(np.int64), 0)
    weights = graph.by_name["v0"].op.weights.values  # type: ignore[attr-defined]
    sums = np.einsum("nhwijc,ijco->nhwo", patches, weights)
    factors, offsets = (np.array(getattr(graph.by_name["v1"].op, part)) for part in ("factor", "offset"))
    assert (np.clip((sums * factors + offsets) >> 7, -8, 100) == emulator.run(codes)["y"]).all()


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("scale", [Fraction(1, 32), Fraction(4), Fraction(1, 3), Fraction(1, 1 << 70)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_encoding_ties_and_their_neighbours(scale: Fraction, rounding: Rounding, dtype: type) -> None:
    quantizer = Quantizer((scale,), (Fraction(0),), -128, 127, rounding)
    op = integer.Input((1, 8), Array(np.arange(8)[::-1].copy()), IDENTITY, quantizer)
    ties = (np.arange(-300, 301).astype(dtype) / 2 * dtype(scale)).astype(dtype)
    tiny = np.finfo(dtype).smallest_normal
    most = np.finfo(dtype).max
    near = [np.nextafter(ties, dtype(most)), np.nextafter(ties, dtype(-most))]
    values = np.concatenate([ties, *near, np.array([tiny, -tiny, most, -most, 0.0, -0.0], dtype)])
    values = values[(values == 0) | (np.abs(values) >= tiny)]
    values = np.resize(values, (-(-len(values) // 8), 8)).astype(dtype)
    nodes = (
        Node("x", op, ()),
        Node("y", integer.Output((1, 8), Array(np.arange(8)), (scale,), (Fraction(0),)), ("x",)),
    )
    codes = Emulator(Graph(INTEGER, "g", nodes, ("y",))).encode(values)
    expected = [[quantizer.code(Fraction(float(v))) for v in row[::-1]] for row in values]
    assert codes.tolist() == expected
