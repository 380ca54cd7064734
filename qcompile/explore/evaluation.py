"""What allocations of one network really give: each is quantized once and built once, whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from qcompile.explore.point import Point, Subject, measure
from qcompile.explore.solve import Choice, Solution
from qcompile.explore.structure import Site
from qcompile.numerics.formats import parse_format

Layers = Mapping[str, Mapping[str, str]]
Measured = tuple[Layers, Point, float]
"""Formats by layer, what they give, and their cost in the budget's unit."""


class Evaluation:
    """Measures choices among ``weights`` and ``activations``, in order of bits; ``kind`` is the unit of cost."""

    def __init__(
        self, subject: Subject, sites: list[Site], weights: Sequence[str], activations: Sequence[str], kind: str
    ) -> None:
        self.subject, self.sites, self.kind = subject, sites, kind
        self.weights, self.activations = weights, activations
        self._alone = replace(subject, samples=None, labels=None)
        self._errors: dict[Solution, float] = {}
        self._built: dict[Solution, Measured] = {}

    def uniform_solution(self, choice: Choice) -> Solution:
        """The same formats everywhere."""
        weights = {site.name: choice[0] for site in self.sites if site.weights}
        return Solution(weights, {site.tensor: choice[1] for site in self.sites if site.tensor is not None})

    def uniform(self, choice: Choice) -> Point:
        """The design with the same formats everywhere."""
        solution = self.uniform_solution(choice)
        if solution not in self._built:
            point = measure(self.subject, self.weights[choice[0]], self.activations[choice[1]])
            self._built[solution] = {}, point, self.cost_of(point)
        return self._built[solution][1]

    def error(self, solution: Solution) -> float:
        """Of the results on the calibration data."""
        if solution in self._built:
            return self._built[solution][1].error
        if solution not in self._errors:
            point = measure(self._alone, self.weights[-1], self.activations[-1], self.layers(solution), hardware=False)
            self._errors[solution] = point.error
        return self._errors[solution]

    def built(self, solution: Solution) -> Measured:
        """The design that `layers` gives."""
        if solution not in self._built:
            layers = self.layers(solution)
            point = measure(self.subject, self.weights[-1], self.activations[-1], layers)
            weights = {name: formats["weights"] for name, formats in layers.items() if "weights" in formats}
            self._built[solution] = layers, point, self.cost_of(point, weights)
        return self._built[solution]

    @property
    def all_built(self) -> list[tuple[Solution, Measured]]:
        return list(self._built.items())

    def layers(self, solution: Solution) -> Layers:
        layers: dict[str, dict[str, str]] = {}
        for site in self.sites:
            own = layers.setdefault(site.name, {})
            if site.name in solution.weights:
                own["weights"] = self.weights[solution.weights[site.name]]
            if site.tensor is not None and site.tensor in solution.tensors:
                own["activations"] = self.activations[solution.tensors[site.tensor]]
        return {name: formats for name, formats in layers.items() if formats}

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
