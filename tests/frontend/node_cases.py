"""ONNX's own single-node test cases, run through the frontend.

Run this file to print what becomes of every case of every claimed operator.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from qcompile.errors import CompileError
from qcompile.frontend import read
from qcompile.frontend.registry import OPERATORS
from qcompile.ir import model


@dataclass(frozen=True)
class Outcome:
    """``verdict``: agrees, differs, refused, not finite (no fixed-point meaning), or failed (an exception: a bug)."""

    operator: str
    case: str
    verdict: str
    text: str = ""


def claimed_cases():
    """The cases whose nodes all have claimed operators, by name."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    claimed = {op for domain, op in OPERATORS if domain == ""}
    for case in sorted(cases, key=lambda c: c.name):
        operators = {node.op_type for node in case.model.graph.node}
        if case.model.graph.node and operators <= claimed and "_expanded" not in case.name:
            yield case


def outcome(case):
    """What becomes of one case: as it is, or with all inputs but the first as initializers."""
    name = "+".join(sorted({node.op_type for node in case.model.graph.node}))
    for candidate, feeds in _variants(case):
        try:
            imported = read(candidate)
        except CompileError as error:
            refusal = error
            continue
        except Exception as error:
            return Outcome(name, case.name, "failed", f"{type(error).__name__}: {error}")
        if not _finite(case):
            return Outcome(name, case.name, "not finite", "inputs or results are not all numbers")
        return Outcome(name, case.name, *_compared(case, imported, feeds))
    return Outcome(name, case.name, "refused", str(refusal).splitlines()[0])


def _array(tensor):
    """Cases hold protobufs or arrays; sequences and maps stay what they are."""
    if isinstance(tensor, np.generic):
        return np.asarray(tensor)
    return numpy_helper.to_array(tensor) if isinstance(tensor, onnx.TensorProto) else tensor


def _variants(case):
    inputs, _ = case.data_sets[0]
    arrays = [_array(t) for t in inputs]
    names = [i.name for i in case.model.graph.input]
    if not all(isinstance(a, np.ndarray) for a in arrays):
        yield case.model, {}
        return
    yield case.model, dict(zip(names, arrays, strict=True))
    for live in range(min(len(names), 3)):
        fixed = onnx.ModelProto()
        fixed.CopyFrom(case.model)
        for index, (name, array) in enumerate(zip(names, arrays, strict=True)):
            if index != live:
                fixed.graph.initializer.append(numpy_helper.from_array(array, name))
        yield fixed, {names[live]: arrays[live]}


def _finite(case):
    inputs, outputs = case.data_sets[0]
    return all(np.isfinite(_array(t).astype(np.float64)).all() for t in (*inputs, *outputs))


def _compared(case, imported, feeds):
    _, outputs = case.data_sets[0]
    wanted = [_array(t) for t in outputs]
    inputs = {i.node: feeds[i.name].astype(np.float64)[None] for i in imported.inputs}
    with np.errstate(all="ignore"):
        values = model.evaluate(imported.graph, inputs)
    for output, array in zip(imported.outputs, wanted, strict=True):
        exact = array.astype(np.float64)
        found = np.broadcast_to(values[output.node], (1, *output.shape))[0]
        if found.shape != exact.shape:
            return "differs", f"shape {found.shape}, wanted {exact.shape}"
        if output.dtype != array.dtype.name:
            return "differs", f"type {output.dtype}, wanted {array.dtype.name}"
        tolerance = 0 if array.dtype.kind in "iub" else 1e-5 * max(1, np.abs(exact).max(initial=0))
        # Results in short types are rounded to them, here they are real numbers.
        tolerance *= {"float16": 100, "bfloat16": 1000}.get(array.dtype.name, 1)
        if not (np.abs(found - exact) <= tolerance).all():
            return "differs", f"by {np.abs(found - exact).max():g}"
    return "agrees", ""


def page(outcomes):
    """docs/operators.md: per operator how many cases agree, are refused, and have no finite meaning or differ."""
    counts = {}
    for found in outcomes:
        counts.setdefault(found.operator, Counter())[found.verdict] += 1
    lines = [
        "# Operators",
        "",
        f"ONNX's own single-node test cases (onnx {onnx.__version__}) of the operators that qcompile reads, run",
        "through the importer. A case agrees if the model graph gives its stored results: exactly for integers, within",
        "1e-5 for floats. Refused cases end in a diagnostic; others have inputs or results that are not finite, or a",
        "stored result that `tests/frontend/test_node_cases.py` explains. Written by",
        "`python tests/frontend/node_cases.py --page`.",
        "",
        "| operator | agree | refused | other |",
        "|---|---:|---:|---:|",
    ]
    for operator, verdicts in sorted(counts.items()):
        agree, refused = verdicts["agrees"], verdicts["refused"]
        lines.append(f"| {operator} | {agree} | {refused} | {verdicts.total() - agree - refused} |")
    total = Counter(found.verdict for found in outcomes)
    other = total.total() - total["agrees"] - total["refused"]
    lines.append(f"| **all** | {total['agrees']} | {total['refused']} | {other} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    outcomes = [outcome(case) for case in claimed_cases()]
    if "--page" in sys.argv:
        (Path(__file__).resolve().parents[2] / "docs" / "operators.md").write_text(page(outcomes))
        sys.exit()
    for found in outcomes:
        if found.verdict != "agrees" or "-v" in sys.argv:
            print(f"{found.verdict:8} {found.case}: {found.text}")
    print(Counter(found.verdict for found in outcomes))
    print(dict(sorted(Counter(f.operator for f in outcomes if f.verdict == "agrees").items())))
