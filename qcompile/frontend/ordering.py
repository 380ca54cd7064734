"""Names for nodes that have none, and an order in which every node comes after those it reads."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterator
from typing import Any

from qcompile.errors import Collector

REEXPORT = "check the file with onnx.checker.check_model(model, full_check=True) and export it again"


def labels_of(nodes: list[Any], prefix: str = "") -> list[str]:
    """The nodes' names; a node without one, or with one that was used before, gets ``Operator_position``."""
    labels: list[str] = []
    taken = {node.name for node in nodes if node.name}
    seen: set[str] = set()
    for index, node in enumerate(nodes):
        label = node.name
        if not label or label in seen:
            label = f"{node.op_type}_{index}"
            while label in taken or label in seen:
                label += "_"
        seen.add(label)
        labels.append(prefix + label)
    return labels


def ordered(nodes: list[Any], labels: list[str], known: Container[str], findings: Collector) -> list[int]:
    """Places in ``nodes``, in the file's order as far as it is topological.

    ``known`` are the tensors that need no node. QC107 for tensors that nothing makes and for cycles; nodes on
    a cycle are left out.
    """
    producer = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    waiting: list[set[int]] = []
    users: list[list[int]] = [[] for _ in nodes]
    for index, node in enumerate(nodes):
        reads = list(reads_of(node))
        needs = {producer[name] for name in reads if name in producer}
        waiting.append(needs)
        for other in needs:
            users[other].append(index)
        missing = [name for name in dict.fromkeys(reads) if name not in producer and name not in known]
        if missing:
            findings.error(
                "QC107", labels[index], f"{node.op_type} reads {', '.join(missing)}, which nothing makes", REEXPORT
            )
    ready = [index for index, needs in enumerate(waiting) if not needs]
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for user in users[index]:
            waiting[user].discard(index)
            if not waiting[user]:
                heapq.heappush(ready, user)
    if len(order) < len(nodes):
        stuck = [labels[index] for index, needs in enumerate(waiting) if needs]
        findings.error("QC107", stuck[0], f"the nodes {', '.join(stuck)} lie on a cycle", REEXPORT)
    return order


def reads_of(node: Any) -> Iterator[str]:
    """The tensors that a node reads, those included that its sub-graphs take from outside."""
    graphs = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    yield from (name for name in node.input if name)
    while graphs:
        graph = graphs.pop()
        inside = {i.name for i in graph.input} | {i.name for i in graph.initializer}
        inside.update(name for inner in graph.node for name in inner.output)
        for inner in graph.node:
            yield from (name for name in inner.input if name and name not in inside)
            graphs.extend(attribute.g for attribute in inner.attribute if attribute.HasField("g"))
        yield from (o.name for o in graph.output if o.name not in inside)
