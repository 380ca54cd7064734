"""What a network must look like from outside to become hardware: one input, one sample at a time.

Not part of reading: a model graph computes batches and several inputs as they are.
"""

from __future__ import annotations

from qcompile.errors import Collector
from qcompile.frontend.imported import Imported
from qcompile.ir.graph import Graph
from qcompile.ir.model import Input


def single_input(imported: Imported, diagnostics: Collector) -> Graph:
    """The graph without inputs that nothing reads.

    QC103 for every input whose first dimension, of several, is more than 1; QC401 for a second input that is read.
    """
    for entry in imported.inputs:
        if len(entry.shape) < 2 or entry.shape[0] <= 1:
            continue
        batch, *rest = entry.shape
        diagnostics.error(
            "QC103",
            f'input "{entry.name}"',
            f"shape {list(entry.shape)} fixes a batch of {batch}",
            f"export with a batch of 1 or an open one, {[1, *rest]}; "
            f"where the {batch} is no batch, with one in front, {[1, batch, *rest]}",
        )
    graph = imported.graph
    inputs = [node.name for node in graph.nodes if isinstance(node.op, Input)]
    read = [name for name in inputs if graph.users[name] or name in graph.outputs]
    if len(read) > 1:
        diagnostics.error(
            "QC401",
            ", ".join(read),
            f"{len(read)} inputs",
            "there is one input stream: give the network one input and split it inside",
        )
    diagnostics.check()
    unread = set(inputs) - set(read)
    return Graph(graph.level, graph.name, tuple(n for n in graph.nodes if n.name not in unread), graph.outputs)
