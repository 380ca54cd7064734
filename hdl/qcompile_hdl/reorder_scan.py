"""What it takes to send the beats of a frame in another order: memory, and who waits for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from ._check import at_least, positive


@dataclass(frozen=True)
class ReorderScan:
    """Beat k of the result is beat ``order[k]`` of the ``inputs`` of a frame; some may be used often, some never.

    ``depth`` is the size of the memory in beats. By default it holds what the order needs at any time, and one more
    `period` so that the next input arrives while this one is read, of at most two frames.
    """

    inputs: int
    order: Sequence[int]
    depth: int | None = None

    def __post_init__(self) -> None:
        positive(inputs=self.inputs, results=len(self.order))
        at_least(0, lowest=min(self.order))
        if max(self.order) >= self.inputs:
            raise ValueError(f"beat {max(self.order)} of {self.inputs}")
        if self.depth is not None:
            at_least(self.least_depth, depth=self.depth)

    @cached_property
    def unused_after(self) -> list[int]:
        """For every beat of the result how many input beats nobody needs once it has been read."""
        suffix = list(accumulate(reversed([*self.order[1:], self.inputs]), min))
        return suffix[::-1]

    @cached_property
    def needed(self) -> list[int]:
        """For every beat of the result how many input beats must have arrived."""
        return list(accumulate((max(o + 1, u) for o, u in zip(self.order, self.unused_after, strict=True)), max))

    @property
    def least_depth(self) -> int:
        """Beats that must be kept at some time."""
        return max(n - u for n, u in zip(self.needed, [0, *self.unused_after], strict=False))

    @property
    def memory_words(self) -> int:
        return self.depth or min(self.least_depth + self.period_inputs, 2 * self.inputs)

    @cached_property
    def period(self) -> int:
        """The least number of results after which the order repeats itself, as many inputs further on."""
        results = len(self.order)
        for period in (p for p in range(1, results) if results % p == 0 and self.inputs * p % results == 0):
            shift = self.inputs * period // results
            if all(
                values[k + period] == values[k] + shift
                for k in range(results - period)
                for values in (self.order, self.needed, self.unused_after)
            ):
                return period
        return results

    @property
    def period_inputs(self) -> int:
        """Input beats of a period."""
        return self.inputs * self.period // len(self.order)

    @property
    def places(self) -> Sequence[int]:
        """For every result of a period its place among the inputs, from the period's first on."""
        return self.order[: self.period]

    @property
    def newly(self) -> list[int]:
        """For every result of a period how many inputs it is the first to wait for."""
        return [b - a for a, b in pairwise([0, *self.needed[: self.period]])]

    @property
    def freed(self) -> list[int]:
        """For every result of a period how many inputs nobody needs after it."""
        return [b - a for a, b in pairwise([0, *self.unused_after[: self.period]])]
