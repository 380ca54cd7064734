"""Formats layer by layer: the least loss of accuracy within a budget, or the least cost within a loss of accuracy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from qcompile.errors import Collector, fail
from qcompile.explore.evaluation import Evaluation, Layers, Measured
from qcompile.explore.point import Point, Subject, float_results, layers_toml
from qcompile.explore.refine import refined
from qcompile.explore.solve import Choice, Program, Solution, solve
from qcompile.explore.structure import carried_by, sites
from qcompile.explore.sweep import quality
from qcompile.frontend import read
from qcompile.numerics.formats import parse_format

Progress = Callable[[str, float | None], None]

KINDS = ("luts", "bytes", "cycles")
_MARGINS = (1.0, 0.98, 0.95, 0.91, 0.86)
"""Budgets of which the program's solutions are compiled: its sums are not what the whole design takes exactly."""
_LADDER = 14
"""Budgets that the search for the cheapest allocation tries, each cheaper by one factor."""


def _silent(stage: str, done: float | None) -> None:
    pass


@dataclass(frozen=True)
class Budget:
    """``amount`` of LUTs, of bytes of weights, or of cycles from input to output."""

    kind: str
    amount: float

    @classmethod
    def parse(cls, text: str, where: str) -> Budget:
        """``luts:20000``, ``bytes:4096`` or ``cycles:40``; QC505 otherwise."""
        kind, _, amount = text.partition(":")
        if kind not in KINDS or not amount.isdecimal() or int(amount) == 0:
            needed = "write luts:N, bytes:N (of weights) or cycles:N, as in luts:20000"
            raise fail("QC505", where, f"{text!r} is not a budget", needed)
        return cls(kind, int(amount))


@dataclass(frozen=True)
class Allocation:
    """``layers``: formats by ONNX node, as in `qcompile.toml`; ``point``: what they give; ``cost``: in the
    budget's unit.

    ``uniform``: the same for every pair of one format for all weights and one for all activations, with its cost.
    """

    layers: Layers
    point: Point
    cost: float
    uniform: list[tuple[Point, float]]

    def toml(self, options: Mapping[str, object]) -> str:
        """A `qcompile.toml` that compiles to this, ``options`` being those of the subject."""
        held = {"weights": self.point.weights, "activations": self.point.activations} | {
            key: value for key, value in options.items() if key not in ("effort", "clock_mhz")
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in held.items()]
        return "[quantize]\n" + "\n".join(lines) + "\n\n" + layers_toml(self.layers)


def allocate(
    subject: Subject,
    weights: Sequence[str],
    activations: Sequence[str],
    budget: Budget | None = None,
    max_accuracy_loss: float | None = None,
    progress: Progress = _silent,
) -> Allocation:
    """The best choice among ``weights`` and ``activations`` for every layer, each list from few to many bits.

    With a ``budget`` the least error of the results on the calibration data; with ``max_accuracy_loss`` the fewest
    LUTs (or what the budget's kind says) with at most so many points less than the float network. QC206 and QC207
    where no choice will do.

    The loss of each choice is the error that it alone causes, the cost that of the layer in a design with the same
    formats everywhere. Zhen Dong et al., "HAWQ-V3: Dyadic Neural Network Quantization", ICML 2021, section 3.5, poses
    such a program; here its solutions are then compiled, the best is improved by `refined`, since losses do not add
    up, and only what was measured counts.
    """
    kind = "luts" if budget is None else budget.kind
    search = Search(subject, list(weights), list(activations), kind, progress)
    if budget is not None:
        return search.within(budget.amount)
    assert max_accuracy_loss is not None
    return search.cheapest(max_accuracy_loss)


class Search:
    """Allocations of one network in one unit of cost; what was measured serves every budget."""

    def __init__(
        self, subject: Subject, weights: list[str], activations: list[str], kind: str, progress: Progress = _silent
    ) -> None:
        imported = read(subject.model, Collector())
        if imported.quantized:
            raise fail("QC208", subject.model, "the file brings quantizers of its own", "give the float network")
        self.subject, self.kind, self.progress = subject, kind, progress
        self.weights, self.activations = weights, activations
        self.graph = imported.graph
        self.sites = sites(self.graph)
        self.evaluation = Evaluation(subject, self.sites, weights, activations, kind)

    @cached_property
    def uniform(self) -> dict[Choice, Point]:
        """The designs with one format for all weights and one for all activations."""
        pairs = [(w, a) for w in range(len(self.weights)) for a in range(len(self.activations))]
        found = {}
        for number, (w, a) in enumerate(pairs, 1):
            found[w, a] = self.evaluation.uniform((w, a))
            self.progress(f"cost {self.weights[w]}/{self.activations[a]}", number / len(pairs))
        return found

    @cached_property
    def program(self) -> Program:
        """Losses and costs of every choice, measured one by one."""
        widest = self.evaluation.uniform_solution((len(self.weights) - 1, len(self.activations) - 1))
        total = len(widest.weights) + len(widest.tensors)
        first = {site.tensor: site.name for site in reversed(self.sites)}
        weights: dict[str, list[float]] = {}
        tensors: dict[int, list[float]] = {}
        for name in widest.weights:
            choices = [replace(widest, weights={**widest.weights, name: w}) for w in range(len(self.weights))]
            weights[name] = self.losses(f"sensitivity {name}", choices, len(weights), total)
        for tensor in widest.tensors:
            choices = [replace(widest, tensors={**widest.tensors, tensor: a}) for a in range(len(self.activations))]
            done = len(weights) + len(tensors)
            tensors[tensor] = self.losses(f"sensitivity {first[tensor]}", choices, done, total)
        cost, moved, fixed = self.costs(list(self.uniform), carried_by(self.graph, self.sites))
        return Program(self.sites, weights, tensors, cost, moved, fixed)

    def losses(self, stage: str, choices: list[Solution], number: int, total: int) -> list[float]:
        """The error that each of ``choices`` adds to the last of them, the widest; it never grows with the bits."""
        base = self.evaluation.error(choices[-1])
        found = []
        for done, choice in enumerate(choices, 1):
            found.append(max(0.0, self.evaluation.error(choice) - base))
            self.progress(stage, (number + done / len(choices)) / total)
        for index in range(len(found) - 2, -1, -1):
            found[index] = max(found[index], found[index + 1])  # more bits never count as worse: that is noise
        return found

    def costs(
        self, pairs: list[Choice], moved_by: Mapping[str, int]
    ) -> tuple[dict[str, dict[Choice, float]], dict[int, list[float]], float]:
        """Of every site and choice, of what moves tensors, and of the rest."""
        cost: dict[str, dict[Choice, float]] = {}
        moved = {tensor: [0.0] * len(self.activations) for tensor in moved_by.values()}
        fixed = 0.0
        for w, a in pairs:
            for layer in self.uniform[w, a].layers:
                nodes = set(layer["onnx_nodes"])
                site = next((s for s in reversed(self.sites) if s.nodes & nodes and s.reads), None)
                taken = self.taken(layer)
                if site is not None:
                    key = (w if site.weights else 0, a)
                    own = cost.setdefault(site.name, {})
                    own[key] = max(own.get(key, 0.0), 0.0) + (taken if site.weights or w == 0 else 0.0)
                elif (tensor := next((moved_by[n] for n in nodes if n in moved_by), None)) is not None:
                    moved[tensor][a] += taken / len(self.weights)
                else:
                    fixed += taken / len(pairs)
        if self.kind == "bytes":
            bits = [parse_format(text, "weights").bits for text in self.weights]
            cost = {s.name: {(w, a): s.weights * bits[w] / 8 for w, a in pairs} for s in self.sites if s.weights}
        return cost, moved, fixed

    def taken(self, layer: Mapping[str, object]) -> float:
        if self.kind == "bytes":
            return 0.0
        return float(str(layer["lut" if self.kind == "luts" else "latency_cycles"] or 0))

    def candidates(self, budgets: Sequence[float]) -> list[tuple[Solution, Measured]]:
        """Solutions for ``budgets``, compiled; the designs with the same formats everywhere, and all others so far."""
        program = self.program
        for number, amount in enumerate(budgets, 1):
            solution = solve(program, amount)
            if solution is not None:
                self.evaluation.built(solution)
            self.progress(f"solve {self.kind}:{amount:,.0f}", number / len(budgets))
        return self.evaluation.all_built

    def within(self, amount: float) -> Allocation:
        """The least error with at most that cost."""
        found = self.candidates([amount * margin for margin in _MARGINS])
        fitting = [(solution, one) for solution, one in found if one[2] <= amount]
        if not fitting:
            least = min(cost for _, (_, _, cost) in found)
            raise fail(
                "QC206",
                f"{self.kind}:{amount:,.0f}",
                f"the cheapest choice takes {least:,.0f}",
                "give a larger budget, or formats of fewer bits to choose from",
            )
        best, _ = min(fitting, key=lambda held: (held[1][1].error, held[1][2]))

        def show(done: float) -> None:
            self.progress(f"refine {self.kind}:{amount:,.0f}", done)

        return self.allocation(refined(self.evaluation, self.program, best, amount, show))

    def cheapest(self, most: float) -> Allocation:
        """The least cost with at most so many points less than the float network."""
        reference = self.float_quality()
        ends = sorted(self.evaluation.cost_of(point) for point in self.uniform.values())
        least, largest = ends[0], ends[-1]
        budgets = [largest * (least / largest) ** (k / (_LADDER - 1)) for k in range(_LADDER)]
        found = [one for _, one in self.candidates(budgets)]
        good = [one for one in found if quality(one[1]) >= reference - most - 1e-9]
        if not good:
            best = max(quality(point) for _, point, _ in found)
            raise fail(
                "QC207",
                f"--max-accuracy-loss {most:g}",
                f"the best choice loses {reference - best:.2f} points",
                "allow more, give formats of more bits to choose from, or another --weight-rounding",
            )
        return self.allocation(min(good, key=lambda one: (one[2], one[1].error)))

    def float_quality(self) -> float:
        if self.subject.samples is None or self.subject.labels is None:
            return 100.0
        classes = float_results(self.subject.model, self.subject.samples).argmax(axis=1)
        return 100 * float((classes == self.subject.labels.reshape(-1)).mean())

    def allocation(self, chosen: Measured) -> Allocation:
        layers, point, cost = chosen
        return Allocation(layers, point, cost, [(p, self.evaluation.cost_of(p)) for p in self.uniform.values()])
