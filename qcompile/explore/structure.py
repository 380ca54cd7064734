"""What an allocation chooses for: layers with weights, the tensors between them, and which layer reads which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from qcompile.ir.graph import Graph, merge_origins
from qcompile.ir.model import Constant, Input
from qcompile.passes.manager import PassManager
from qcompile.quantize import PREPARE
from qcompile.quantize.placement import LAYOUT, Place, constants_of, find_places, weights_position


@dataclass(frozen=True)
class Site:
    """A layer. ``name`` is an ONNX node of it, which `qcompile.toml` takes; ``nodes`` are all of them.

    ``tensor``: what its result is rounded as, a number that all branches of one residual sum share; None where it
    leaves the network unrounded. ``reads``: the tensors of its operands. ``weights``: their number.
    """

    name: str
    nodes: frozenset[str]
    tensor: int | None
    reads: tuple[int, ...]
    weights: int


def sites(graph: Graph) -> list[Site]:
    """Every layer of a float network, in order; inputs among them."""
    graph = PassManager().run(graph, PREPARE)
    places = find_places(graph)
    constants = constants_of(graph)
    held = {place.end: place for place in places.values()}
    reads = {end: tuple(dict.fromkeys(_sources(graph, place, held, constants))) for end, place in held.items()}
    shared = _joined(reads, held)
    found = []
    for end, place in held.items():
        nodes = merge_origins(place.layer_names)
        name = next((n for node in (place.owner, *place.steps) for n in node.origin), place.owner.name)
        position = weights_position(graph, place.owner, constants)
        count = 0 if position is None else prod(graph.types[place.owner.inputs[position]].shape)
        chosen = None if place.output and not isinstance(place.owner.op, Input) else shared[end]
        numbers = tuple(dict.fromkeys(shared[source] for source in reads[end]))
        found.append(Site(name, frozenset(nodes), chosen, numbers, count))
    return found


def carried_by(graph: Graph, found: list[Site]) -> Mapping[str, int]:
    """For layers of the hardware that only move data (pools, reshapes), by ONNX node: the tensor that they move."""
    graph = PassManager().run(graph, PREPARE)
    owner = {node: site for site in found for node in site.nodes}
    moved: dict[str, int] = {}
    for node in graph.nodes:
        if not isinstance(node.op, LAYOUT):
            continue
        source = graph.by_name[node.inputs[0]]
        names = (source.name, *source.origin)
        tensor = next(
            (owner[n].tensor for n in names if n in owner), next((moved[n] for n in names if n in moved), None)
        )
        if tensor is not None:
            moved |= dict.fromkeys((node.name, *node.origin), tensor)
    return moved


def _sources(graph: Graph, place: Place, held: Mapping[str, Place], constants: frozenset[str]) -> list[str]:
    """The ends of the places whose tensors the layer at ``place`` reads."""
    found = []
    for name in place.owner.inputs:
        if name in constants:
            continue
        node = graph.by_name[name]
        while node.name not in held and isinstance(node.op, LAYOUT):
            node = graph.by_name[node.inputs[0]]
        if node.name in held and not isinstance(node.op, Constant):
            found.append(node.name)
    return found


def _joined(reads: Mapping[str, tuple[str, ...]], held: Mapping[str, Place]) -> dict[str, int]:
    """A number for each tensor; those that one layer reads together have the same."""
    group = {end: end for end in held}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for sources in reads.values():
        for other in sources[1:]:
            group[root(other)] = root(sources[0])
    numbers: dict[str, int] = {}
    return {end: numbers.setdefault(root(end), len(numbers)) for end in held}
