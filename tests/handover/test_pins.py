"""Every kind of pins: the same results, the same latency, in the data sheet and for every tool."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from handover_checks import check_component, check_files, check_ports, run
from handover_example import Written, written

import qcompile
from qcompile.backends.amaranth import Pins, emit
from qcompile.errors import CompileError
from qcompile.verify.verilator import lint

KINDS = {
    "parallel": {"interface": "parallel"},
    "clock enable": {"clock_enable": True},
    "status": {"status": "axi-lite"},
    "all": {"interface": "parallel", "clock_enable": True, "status": "axi-lite"},
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Written]:
    folder = tmp_path_factory.mktemp("pins")
    return {kind: written(folder / kind.replace(" ", "_") / "build", **options) for kind, options in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_testbench_passes(kind: str, kinds: dict[str, Written], icarus: None) -> None:
    """With clock enable the testbench stops the clock at random, too."""
    block = kinds[kind]
    done = run("make", "-C", block.folder / "tb", "icarus", folder=block.folder)
    assert done.returncode == 0 and done.stdout.count("PASS: 16 frames") == 2, done.stdout + done.stderr
    latency = block.compiled.report["totals"]["latency_cycles"]
    assert f"latency {latency} cycles" in done.stdout
    assert done.stderr == ""


def test_parallel_pins_are_two_cycles_faster(block: Written, kinds: dict[str, Written]) -> None:
    latency = [made.compiled.report["totals"]["latency_cycles"] for made in (block, kinds["parallel"])]
    assert latency[1] == latency[0] - 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_rtl_is_free_of_lint_and_verified(kind: str, kinds: dict[str, Written]) -> None:
    block = kinds[kind]
    rtl = block.compiled.hardware.rtl
    assert lint(rtl.files, rtl.top) == []
    if kind == "all":
        found = block.compiled.verify(block.images, count=6)
        assert (
            found["rtl_mismatches"] == 0
            and found["latency_cycles"] == block.compiled.report["totals"]["latency_cycles"]
        )


@pytest.mark.parametrize("kind", KINDS)
def test_ports_interfaces_and_files_are_described(kind: str, kinds: dict[str, Written]) -> None:
    check_ports(kinds[kind])
    check_files(kinds[kind])
    check_component(kinds[kind])


def test_the_clock_enable_reaches_memories_and_folded_engines(tmp_path: Path, icarus: None) -> None:
    """Weights in ROM, line buffers and FIFOs stand still, too."""
    made = written(tmp_path / "build", model="digits_cnn", fps=200_000, clock_enable=True)
    assert any("rom" in text or "_weight" in name for name, text in made.compiled.hardware.rtl.files.items())
    done = run("make", "-C", made.folder / "tb", "icarus", "ARGS=+frames=3", folder=made.folder)
    assert done.returncode == 0 and done.stdout.count("PASS: 3 frames") == 2, done.stdout + done.stderr


def test_the_status_registers_answer_through_axi_lite(kinds: dict[str, Written], icarus: None) -> None:
    block = kinds["status"]
    done = run(sys.executable, block.folder / "tb" / f"test_{block.name}.py", folder=block.folder, SIM="icarus")
    assert done.returncode == 0 and "status_registers passed" in done.stdout, done.stdout + done.stderr


def test_the_adapter_ties_what_it_does_not_use(kinds: dict[str, Written], icarus: None) -> None:
    for kind in ("clock enable", "status"):
        block = kinds[kind]
        done = run("make", "-C", block.folder / "tb", "icarus", f"TOP={block.name}_dma", folder=block.folder)
        assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr


def test_two_networks_live_in_one_design(block: Written, tmp_path: Path) -> None:
    """The same network under two names, one behind the other's pins: no module is defined twice."""
    design = block.compiled.hardware.design
    files = {**emit(design, "first").files, **emit(design, "second", Pins(status=True)).files}
    bus = block.compiled.block
    ports = [port for port in bus.ports if port.name != "aclk" and port.name != "aresetn"]
    declared = ["  input wire aclk", "  input wire aresetn"]
    connected: dict[str, list[str]] = {"first": [], "second": []}
    for name, wires in connected.items():
        wires += [".aclk(aclk)", ".aresetn(aresetn)"]
        for port in ports:
            declared.append(f"  {port.direction}put wire [{port.bits - 1}:0] {name}_{port.name}")
            wires.append(f".{port.name}({name}_{port.name})")
    text = "// verilator lint_off PINMISSING\nmodule both (\n" + ",\n".join(declared) + "\n);\n"
    text += "".join(f"  {name} {name}_i ({', '.join(wires)});\n" for name, wires in connected.items()) + "endmodule\n"
    assert lint({**files, "both.v": text}, "both") == []
    for file, content in {**files, "both.v": text}.items():
        (tmp_path / file).write_text(content)


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_pins_that_the_backend_does_not_have_are_refused(options: dict) -> None:
    with pytest.raises(CompileError) as caught:
        qcompile.compile("no.onnx", target="ultra96", backend="both", **options)
    assert str(caught.value) == (
        "error[QC510]: backend both: HLS C++ has AXI4-Stream pins and no others\n"
        "  = help: leave out --interface, --status and --clock-enable, or take --backend amaranth"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interface": "wishbone"}, "'wishbone' is not an interface"),
        ({"status": "apb"}, "'apb' is not understood"),
    ],
)
def test_pins_that_do_not_exist_are_refused(options: dict, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        qcompile.compile("no.onnx", target="ultra96", **options)
