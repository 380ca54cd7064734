"""The table of operators: (domain, operator) to the function that imports it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qcompile.frontend.call import Call
    from qcompile.frontend.values import Value

Handler = Callable[["Call"], "Value | tuple[Value, ...]"]

STANDARD = ""
MICROSOFT = "com.microsoft"
QONNX = "qonnx"
CHANNELS_LAST = "channels_last"
"""Names for the domains in which QONNX operators are found; see `canonical_domain`."""


@dataclass(frozen=True)
class Operator:
    """``folds``: a node whose inputs are all known is computed by ONNX's reference, not given to ``handler``."""

    handler: Handler
    folds: bool


OPERATORS: dict[tuple[str, str], Operator] = {}


def operator(*names: str, domain: str = STANDARD, folds: bool = True) -> Callable[[Handler], Handler]:
    """Decorator: the function imports the operators ``names`` of ``domain``."""

    def register(handler: Handler) -> Handler:
        for name in names:
            OPERATORS[domain, name] = Operator(handler, folds)
        return handler

    return register


_QONNX_WITHOUT_DOMAIN = ("Quant", "IntQuant", "BipolarQuant", "FloatQuant", "Trunc", "MultiThreshold")


def canonical_domain(domain: str, op_type: str) -> str:
    """The table's domain for a node: one name for all spellings of a domain, also for none at all."""
    if "channels_last" in domain or "channelslast" in domain.lower():
        return CHANNELS_LAST
    if domain == "onnx.brevitas" or domain.startswith(("qonnx", "finn")):
        return QONNX
    if domain in ("", "ai.onnx"):
        return QONNX if op_type in _QONNX_WITHOUT_DOMAIN else STANDARD
    return domain
