"""The map of the network: every edge on a lane of its own from its source to its reader."""

import random

import pytest

from qcompile.report.rails import Row, rails


def test_a_chain_stays_on_one_lane() -> None:
    rows = rails(["input", "a", "b"], {"a": ["input"], "b": ["a"]})
    assert [row.lane for row in rows] == [0, 0, 0]
    assert rows[1] == Row("a", 0, passing=(), arriving=(0,), leaving=(0,))


def test_a_residual_branch_runs_beside_and_a_layer_on_it_stands_there() -> None:
    names = ["input", "fork", "long", "short", "join"]
    rows = rails(names, {"fork": ["input"], "long": ["fork"], "short": ["fork"], "join": ["short", "long"]})
    assert [row.lane for row in rows] == [0, 0, 0, 1, 0]
    assert rows[1].leaving == (0, 1)
    assert rows[2].passing == (1,) and rows[3].passing == (0,)
    assert sorted(rows[4].arriving) == [0, 1]


@pytest.mark.parametrize("seed", range(20))
def test_edges_never_share_a_lane_and_arrive_on_the_one_they_left_on(seed: int) -> None:
    pick = random.Random(seed)
    names = [f"n{k}" for k in range(12)]
    inputs = {name: pick.sample(names[:k], min(k, pick.randint(1, 3))) for k, name in enumerate(names) if k}
    rows = rails(names, inputs)
    under_way: list[int] = []
    for row in rows:
        for lane in row.arriving:
            under_way.remove(lane)
        assert sorted(under_way) == sorted(row.passing)
        assert row.lane not in row.passing
        under_way += row.leaving
        assert len(set(under_way)) == len(under_way)
        assert len(row.arriving) == len(inputs.get(row.name, ()))
    assert under_way == []
