"""Formats layer by layer: the least loss of accuracy within a budget, or the least cost within a loss of accuracy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from qcompile.errors import Collector, fail
from qcompile.explore.neighbours import foretold, neighbours
from qcompile.explore.point import Point, Subject, float_results, layers_toml, measure
from qcompile.explore.solve import Choice, Program, Solution, solve
from qcompile.explore.structure import carried_by, sites
from qcompile.explore.sweep import quality
from qcompile.frontend import read
from qcompile.numerics.formats import parse_format

Progress = Callable[[str, float | None], None]
Layers = Mapping[str, Mapping[str, str]]
Measured = tuple[Layers, Point, float]
"""Formats by layer, what they give, and their cost in the budget's unit."""

KINDS = ("luts", "bytes", "cycles")
_MARGINS = (1.0, 0.98, 0.95, 0.91, 0.86)
"""Budgets of which the program's solutions are compiled: its sums are not what the whole design takes exactly."""
_ROUNDS, _TRIES = 8, 16
"""Of the allocations next to the best so far, so many are tried, for so many rounds."""
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
    such a program; here its solutions are then compiled, those next to the best are tried, since losses do not
    quite add up, and only what was measured counts.
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
        self.layers_of = {site.tensor: [s for s in self.sites if s.tensor == site.tensor] for site in self.sites}

    @cached_property
    def uniform(self) -> dict[Choice, Point]:
        """The designs with one format for all weights and one for all activations."""
        pairs = [(w, a) for w in range(len(self.weights)) for a in range(len(self.activations))]
        found = {}
        for number, (w, a) in enumerate(pairs, 1):
            found[w, a] = measure(self.subject, self.weights[w], self.activations[a])
            self.progress(f"cost {self.weights[w]}/{self.activations[a]}", number / len(pairs))
        return found

    @cached_property
    def program(self) -> Program:
        """Losses and costs of every choice, measured one by one."""
        weighted = [site for site in self.sites if site.weights]
        tensors = sorted({site.tensor for site in self.sites if site.tensor is not None})
        total = len(weighted) + len(tensors)
        losses, tensor_losses = {}, {}
        for number, site in enumerate(weighted, 1):
            losses[site.name] = self.losses([{site.name: {"weights": w}} for w in self.weights[:-1]])
            self.progress(f"sensitivity {site.name}", number / total)
        for number, tensor in enumerate(tensors, len(weighted) + 1):
            names = [site.name for site in self.layers_of[tensor]]
            tensor_losses[tensor] = self.losses(
                [{name: {"activations": a} for name in names} for a in self.activations[:-1]]
            )
            self.progress(f"sensitivity {names[0]}", number / total)
        cost, moved, fixed = self.costs(list(self.uniform), carried_by(self.graph, self.sites))
        return Program(self.sites, losses, tensor_losses, cost, moved, fixed)

    def losses(self, choices: list[Layers]) -> list[float]:
        """The error that each of ``choices`` adds to the widest formats; it never grows with the bits."""
        alone = replace(self.subject, samples=None, labels=None)
        widest = self.weights[-1], self.activations[-1]
        base = self.uniform[len(self.weights) - 1, len(self.activations) - 1].error
        found = [max(0.0, measure(alone, *widest, choice, hardware=False).error - base) for choice in choices]
        found.append(0.0)
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

    def cost_of(self, point: Point, weights: Mapping[str, str] | None = None) -> float:
        """What a compiled design takes; ``weights``: their formats by site, else the point's everywhere."""
        if self.kind != "bytes":
            return point.lut if self.kind == "luts" else point.latency_cycles
        formats = weights or {}
        return sum(
            site.weights * parse_format(formats.get(site.name, point.weights), "weights").bits / 8
            for site in self.sites
            if site.weights
        )

    def layers(self, solution: Solution) -> Layers:
        layers: dict[str, dict[str, str]] = {}
        for site in self.sites:
            own = layers.setdefault(site.name, {})
            if site.name in solution.weights:
                own["weights"] = self.weights[solution.weights[site.name]]
            if site.tensor is not None and site.tensor in solution.tensors:
                own["activations"] = self.activations[solution.tensors[site.tensor]]
        return {name: formats for name, formats in layers.items() if formats}

    def compiled(self, solution: Solution) -> Measured:
        layers = self.layers(solution)
        point = measure(self.subject, self.weights[-1], self.activations[-1], layers)
        return layers, point, self.cost_of(point, {n: f["weights"] for n, f in layers.items() if "weights" in f})

    def candidates(self, budgets: Sequence[float]) -> Iterator[Measured]:
        """Different solutions, compiled, and the designs with the same formats everywhere."""
        yield from (({}, point, self.cost_of(point)) for point in self.uniform.values())
        seen = []
        for number, amount in enumerate(budgets, 1):
            solution = solve(self.program, amount)
            if solution is not None and solution not in seen:
                seen.append(solution)
                yield self.compiled(solution)
            self.progress(f"solve {self.kind}:{amount:,.0f}", number / len(budgets))

    def within(self, amount: float) -> Allocation:
        """The least error with at most that cost."""
        found = list(self.candidates([amount * margin for margin in _MARGINS]))
        fitting = [one for one in found if one[2] <= amount]
        if not fitting:
            least = min(cost for _, _, cost in found)
            raise fail(
                "QC206",
                f"{self.kind}:{amount:,.0f}",
                f"the cheapest choice takes {least:,.0f}",
                "give a larger budget, or formats of fewer bits to choose from",
            )
        best = min(fitting, key=lambda one: (one[1].error, one[2]))
        return self.allocation(self.refined(best, amount))

    def refined(self, best: Measured, amount: float) -> Measured:
        """``best``, or what is next to it, again and again, as long as the measured error falls within ``amount``."""
        alone = replace(self.subject, samples=None, labels=None)
        widest = self.weights[-1], self.activations[-1]
        tried: list[Solution] = []
        for number in range(1, _ROUNDS + 1):
            here = self.solution(best)
            slack = amount - best[2]
            near = [s for s in neighbours(self.program, here) if s not in tried and s.cost - here.cost <= slack]
            near = near[:_TRIES]
            tried += near
            errors = [measure(alone, *widest, self.layers(one), hardware=False).error for one in near]
            self.progress(f"refine {self.kind}:{amount:,.0f}", number / _ROUNDS)
            promising = sorted((error, index) for index, error in enumerate(errors) if error < best[1].error)
            built = (self.compiled(near[index]) for _, index in promising)
            better = next((one for one in built if one[2] <= amount), None)
            if better is None:
                break
            best = better
        return best

    def solution(self, held: Measured) -> Solution:
        """What `compiled` was given, or would be for the same formats everywhere."""
        layers, point, _ = held
        weights, tensors = {}, {}
        for site in self.sites:
            own = layers.get(site.name, {})
            if site.name in self.program.loss_of_weights:
                weights[site.name] = self.weights.index(own.get("weights", point.weights))
            if site.tensor is not None:
                tensors[site.tensor] = self.activations.index(own.get("activations", point.activations))
        return foretold(self.program, Solution(weights, tensors, 0.0, 0.0))

    def cheapest(self, most: float) -> Allocation:
        """The least cost with at most so many points less than the float network."""
        reference = self.float_quality()
        ends = sorted(self.cost_of(point) for point in self.uniform.values())
        least, largest = ends[0], ends[-1]
        budgets = [largest * (least / largest) ** (k / (_LADDER - 1)) for k in range(_LADDER)]
        found = list(self.candidates(budgets))
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
        return Allocation(layers, point, cost, [(p, self.cost_of(p)) for p in self.uniform.values()])
