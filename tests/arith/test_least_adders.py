"""How near the optimizer comes to proved optima of small matrices."""

from __future__ import annotations

import numpy as np
import pytest
from exact_adders import cases, found_adders, least_adders


@pytest.mark.parametrize(
    ("constant", "least"),
    # The least adders of single constants are known: Gustafsson, Dempster and Wanhammar, Extended results for
    # minimum-adder constant integer multipliers, ISCAS 2002. 45 = 5 * 9; 43 is the first to need three.
    [(1, 0), (3, 1), (7, 1), (11, 2), (45, 2), (43, 3)],
)
def test_the_exhaustive_search_knows_single_constants(constant: int, least: int) -> None:
    assert least_adders(np.array([[constant]]), 4) == least


@pytest.mark.parametrize(
    ("name", "spare"), [("1x2, entries up to 15", 1), ("2x2, entries up to 3", 2), ("3x3, ternary", 1)]
)
def test_small_matrices_take_hardly_more_adders_than_they_must(name: str, spare: int) -> None:
    matrices = cases()[name]
    least = [least_adders(matrix, 4) for matrix in matrices]
    found = [found_adders(matrix, effort=1) for matrix in matrices]
    assert all(f >= n for f, n in zip(found, least, strict=True))
    assert sum(found) <= sum(least) + spare
