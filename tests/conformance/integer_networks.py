"""Networks of several operations: forks, joins that wait for line buffers, changes of rate."""

from __future__ import annotations

import numpy as np
from integer_bench import network, source
from integer_cases import weights

from qcompile.ir import integer
from qcompile.ir.array import Array
from qcompile.ir.graph import Graph, Node
from qcompile.ir.window import Window
from qcompile.numerics.rounding import Rounding

SAME = Window((3, 3), pads=(1, 1, 1, 1))
CLAMP = integer.Rescale((1,), (8,), (4,), -8, 7)
ADD = integer.WeightedSum(((1,), (1,)), (0,))


def conv(name: str, value: str, ins: int = 2, outs: int = 2, window: Window = SAME) -> Node:
    return Node(name, integer.Conv(weights(*window.kernel, ins, outs), window), (value,), (f"/{name}",))


def add(name: str, *values: str) -> Node:
    return Node(name, ADD, values, (f"/{name}",))


def requantize(name: str, value: str) -> Node:
    return Node(name, CLAMP, (value,), (f"/{name}",))


def _residual() -> Graph:
    """A long branch of two convolutions beside a bare wire."""
    nodes = [
        source((5, 5, 2), -8, 7),
        conv("c1", "x"),
        requantize("r1", "c1"),
        conv("c2", "r1"),
        requantize("r2", "c2"),
    ]
    return network("residual", [*nodes, add("sum", "r2", "x"), Node("out", CLAMP, ("sum",), ("/out",))])


def _nested() -> Graph:
    """A residual block in the long branch of another one; the inner join feeds both."""
    nodes = [source((4, 6, 2), -8, 7), conv("c1", "x"), requantize("r1", "c1")]
    nodes += [add("inner", "r1", "x"), requantize("r2", "inner"), conv("c2", "r2"), requantize("r3", "c2")]
    return network("nested", [*nodes, add("middle", "r3", "r2"), add("outer", "middle", "x")])


def _inception() -> Graph:
    """Branches of unequal delay joined by channels."""
    wide = Window((5, 5), pads=(2, 2, 2, 2))
    row = Window((1, 3), pads=(0, 1, 0, 1))
    nodes = [source((5, 6, 2), -4, 3), conv("a", "x", 2, 1, wide), conv("b", "x", 2, 2, row)]
    pool = Node("p", integer.MaxPool(SAME), ("x",), ("/p",))
    return network("inception", [*nodes, pool, Node("cat", integer.Concat(), ("a", "x", "b", "p"), ("/cat",))])


def _strided() -> Graph:
    """Both sides of the join drop positions; the shortcut has no line buffers to speak of."""
    half = Window((3, 3), (2, 2), (1, 1, 1, 1))
    point = Window((1, 1), (2, 2))
    nodes = [source((6, 6, 2), -8, 7), conv("c1", "x", 2, 3, half), requantize("r1", "c1"), conv("c2", "r1", 3, 3)]
    return network("strided", [*nodes, conv("short", "x", 2, 3, point), add("sum", "c2", "short")])


def _classifier() -> Graph:
    """Windows, pooling, all values of a frame in one beat, a matrix, and the largest."""
    even = Window((2, 2), (2, 2))
    nodes = [source((6, 6, 1), 0, 15), conv("c", "x", 1, 3), requantize("r", "c")]
    nodes += [Node("pool", integer.MaxPool(even), ("r",), ("/pool",)), Node("flat", integer.Reshape((27,)), ("pool",))]
    nodes += [Node("fc", integer.MatMul(weights(27, 5)), ("flat",), ("/fc",)), Node("best", integer.ArgMax(), ("fc",))]
    return network("classifier", nodes)


def _global_pool() -> Graph:
    """A sum over the whole image behind a join, then a long chain of datapaths."""
    nodes = [source((4, 4, 2), -8, 7), conv("c", "x"), add("sum", "c", "x")]
    nodes.append(Node("pool", integer.SumPool(Window((4, 4))), ("sum",), ("/pool",)))
    mean = integer.Rescale((1,), (0,), (4,), -500, 500, Rounding.HALF_EVEN)
    nodes += [Node("mean", mean, ("pool",), ("/mean",)), Node("flat", integer.Reshape((2,)), ("mean",))]
    turn = integer.MatMul(Array([[1, 3], [-2, 1]]))
    nodes += [Node(f"fc{k}", turn, (f"fc{k - 1}" if k else "flat",), (f"/fc{k}",)) for k in range(4)]
    return network("global pool", nodes)


def _upsampled() -> Graph:
    """Every position four times, then a window."""
    order = np.arange(3 * 4 * 2).reshape(3, 4, 2).repeat(2, axis=0).repeat(2, axis=1)
    nodes = [source((3, 4, 2), -8, 7), Node("up", integer.Gather(Array(order)), ("x",), ("/up",))]
    return network("upsampled", [*nodes, conv("c", "up")])


def _attention() -> Graph:
    """Every position mixed with all others: products of rows with rows, then of each sum with a row, and their sums."""
    rows = np.arange(4 * 3).reshape(4, 3)
    each, every = (np.broadcast_to(rows[place], (4, 4, 3)) for place in (np.s_[:, None], np.s_[None]))
    beside = np.arange(4 * 4).reshape(4, 4, 1).repeat(3, axis=2)

    def gather(name: str, value: str, order: np.ndarray) -> Node:
        return Node(name, integer.Gather(Array(order)), (value,), (f"/{name}",))

    nodes = [source((4, 3), -8, 7)]
    for name in ("q", "k"):
        nodes += [Node(name, integer.MatMul(weights(3, 3)), ("x",), (f"/{name}",)), requantize(f"{name}r", name)]
    nodes += [gather("each q", "qr", each), gather("every k", "kr", every)]
    nodes += [
        Node("qk", integer.Product(), ("each q", "every k")),
        Node("sums", integer.MatMul(Array([[1]] * 3)), ("qk",)),
    ]
    nodes += [requantize("scores", "sums"), gather("each score", "scores", beside), gather("every x", "x", every)]
    nodes.append(Node("mixed", integer.Product(), ("each score", "every x")))
    nodes.append(Node("total", integer.SumPool(Window((1, 4), (1, 4))), ("mixed",), ("/total",)))
    return network("attention", nodes)


def _bursts() -> Graph:
    """Folded to 144 cycles: an unrolled convolution that gives nothing in every other row of its input, and pooling
    that is as slow as the convolution is on average.
    """
    half = Window((3, 3), (2, 2), (1, 1, 1, 1))
    nodes = [source((12, 12, 1), -8, 7), conv("c", "x", 1, 4, half), requantize("r", "c")]
    return network("bursts", [*nodes, Node("p", integer.MaxPool(Window((2, 2), (2, 2))), ("r",), ("/p",))])


_MADE = (_residual, _nested, _inception, _strided, _classifier, _global_pool, _upsampled, _attention, _bursts)
NETWORKS: dict[str, Graph] = {graph.name: graph for graph in (make() for make in _MADE)}

FOLDED = {"residual": 400, "classifier": 300, "global pool": 200, "inception": 400, "attention": 100, "bursts": 144}
"""Networks that are built a second time, on engines that work through a layer in about so many cycles a frame."""
