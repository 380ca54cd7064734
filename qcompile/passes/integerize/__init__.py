"""Model graph to integer graph: scales, zero points, biases, BN and activations fold away, exactly.

A real tensor is carried by the integers of one node and a chain of exact steps (`Carried`). Linear
operations need integers with one scale and act on the codes; everything element by element joins the chain;
a quantizer ends it in one `Requantize`. Nothing is rounded that the model does not round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qcompile.ir import integer, model
from qcompile.ir.graph import Graph, Level
from qcompile.numerics.products import Product
from qcompile.passes.integerize.builder import Builder
from qcompile.passes.integerize.inputs import arrange_inputs
from qcompile.passes.integerize.padding import pads_as_windows
from qcompile.passes.integerize.rules import RULES


@dataclass(frozen=True)
class Integerize:
    """Give every tensor its integers; refuse, all at once, what has none (QC102, QC104, QC105, QC108, QC301).

    ``product``: how layers multiply floats with their weights; all but EXACT refuse other operands (QC212).
    """

    product: Product = Product.EXACT

    name: ClassVar[str] = "integerize"
    requires: ClassVar[Level] = model.MODEL
    ensures: ClassVar[Level] = integer.INTEGER

    def run(self, graph: Graph) -> Graph:
        return pads_as_windows(arrange_inputs(Builder(graph, RULES, self.product).build()))
