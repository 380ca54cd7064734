"""Targets: figures, sources, names and the fit check."""

import dataclasses

import pytest

from qcompile import targets
from qcompile.errors import CompileError
from qcompile.synth import _FAMILIES
from qcompile.targets.fit import limits

FIGURES = {"part", "luts", "ffs", "brams", "dsp", "clock_mhz"}


def test_every_figure_of_the_catalogue_is_pinned() -> None:
    figures = {
        name: (t.part, t.family, t.luts, t.lut_inputs, t.ffs, t.brams, t.memory.bits, t.bram18, t.dsp)
        for name, t in ((name, targets.get(name)) for name in targets.names())
    }
    assert figures == {
        "ultra96": ("xczu3eg-sbva484-1-i", "xcup", 70560, 6, 141120, 432, 18432, 432, 360),
        "pynq-z2": ("xc7z020clg400-1", "xc7", 53200, 6, 106400, 280, 18432, 280, 220),
        "zcu104": ("xczu7ev-ffvc1156-2-e", "xcup", 230400, 6, 460800, 624, 18432, 624, 1728),
        "zcu102": ("xczu9eg-ffvb1156-2-e", "xcup", 274080, 6, 548160, 1824, 18432, 1824, 2520),
        "kv260": ("xck26-sfvc784-2LV-c", "xcup", 117120, 6, 234240, 288, 18432, 288, 1248),
        "arty-a7-35": ("xc7a35ticsg324-1L", "xc7", 20800, 6, 41600, 100, 18432, 100, 90),
        "arty-a7-100": ("xc7a100tcsg324-1", "xc7", 63400, 6, 126800, 270, 18432, 270, 240),
        "de10-nano": ("5CSEBA6U23I7", "cyclonev", 83018, 4, 166036, 553, 10240, 307, 112),
        "ulx3s-85": ("LFE5U-85F-6BG381C", "ecp5", 83640, 4, 83640, 208, 18432, 208, 156),
        "colorlight-i5": ("LFE5U-25F-6BG381C", "ecp5", 24288, 4, 24288, 56, 18432, 56, 28),
        "orangecrab": ("LFE5U-25F-8MG285C", "ecp5", 24288, 4, 24288, 56, 18432, 56, 28),
        "tang-nano-20k": ("GW2AR-LV18QN88C8/I7", "gowin", 20736, 4, 15552, 46, 18432, 46, 48),
        "icebreaker": ("iCE40UP5K-SG48", "ice40", 5280, 4, 5280, 30, 4096, 6, 8),
    }


@pytest.mark.parametrize("name", targets.names())
def test_every_target_has_sources_a_synthesis_family_and_room_for_an_adder_at_its_clock(name: str) -> None:
    target = targets.get(name)
    sourced = [figure for source in target.sources for figure in source.figures]
    assert sorted(sourced) == sorted(FIGURES | ({"pins"} if target.pins else set()))
    assert target.delay.source.startswith(("estimate", "measured"))
    assert target.memory.kind and all(words * bits <= target.memory.bits for words, bits in target.memory.shapes)
    assert target.family in _FAMILIES
    assert target.delay.adder_ns(16) < target.delay.budget_ns(target.clock_mhz)


@pytest.mark.parametrize(
    ("name", "help"),
    [
        ("ultra69", "did you mean ultra96? "),
        ("ULTRA96", "did you mean ultra96? "),
        ("ulx3s", "did you mean ulx3s-85? "),
        ("versal", ""),
    ],
)
def test_an_unknown_target_is_refused_with_the_nearest_name(name: str, help: str) -> None:
    with pytest.raises(CompileError) as caught:
        targets.get(name)
    assert str(caught.value) == (
        f"error[QC502]: --target: there is no target {name!r}\n"
        f"  = help: {help}the targets are {', '.join(targets.names())}"
    )


def test_a_design_fits_up_to_the_limits_and_not_beyond() -> None:
    target = targets.get("ultra96")
    assert limits(target) == {"lut": 63504, "ff": 127008, "bram18": 432, "dsp": 0}
    assert targets.fit(limits(target), target) == []
    beyond = {key: limit + 1 for key, limit in limits(target).items()}
    assert [str(excess) for excess in targets.fit(beyond, target)] == [
        "63,505 LUTs needed, the part has 70,560, of which 63,504 may be filled",
        "127,009 flip-flops needed, the part has 141,120, of which 127,008 may be filled",
        "433 18-Kibit block RAMs needed, the part has 432",
        "1 DSP blocks needed, the part has 360, of which 0 may be filled",
    ]


@pytest.mark.parametrize(("bits", "blocks"), [(30 * 4096, 30), (30 * 4096 + 1, 31)])
def test_blocks_of_another_size_fill_the_part_to_the_last_one(bits: int, blocks: int) -> None:
    target = targets.get("icebreaker")
    assert target.memory.blocks(256, 16) == 1 and target.memory.blocks(257, 17) == 3
    assert targets.fit({"bram18": blocks * 4096 / 18432}, target) == (
        [] if bits <= 30 * 4096 else [targets.Excess("bram18", 7, 6, 6)]
    )


def test_targets_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        targets.get("ultra96").luts = 1  # type: ignore[misc]
