"""The README of an output folder says what the hardware and the folder really are."""

from __future__ import annotations

import re
from pathlib import Path

from handover_checks import check_files, check_ports
from handover_example import Written, written


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_port_of_the_top_module_is_in_the_table(block: Written) -> None:
    check_ports(block)


def test_the_fields_of_a_beat_fill_it_without_gap_or_overlap(block: Written) -> None:
    for bus in (block.compiled.block.input, block.compiled.block.output):
        assert [field.low for field in bus.fields] == [0, *(field.high + 1 for field in bus.fields)][:-1]
        assert bus.width == bus.fields[-1].high + 1 <= bus.bits < bus.width + 8


def test_every_module_of_a_layer_is_there(block: Written) -> None:
    rtl = "".join(path.read_text() for path in (block.folder / "rtl").iterdir())
    text = (block.folder / "README.md").read_text()
    modules = re.findall(r"^\| `(\w+_core_\w+)` \|", text, re.M)
    assert len(modules) == len(block.compiled.report["layers"])
    assert all(f"module {module} (" in rtl for module in modules)


def test_every_file_that_it_names_is_there_and_every_folder_is_named(block: Written) -> None:
    check_files(block)


def test_no_line_of_a_generated_text_is_too_long_to_read(block: Written) -> None:
    long = []
    for path in block.folder.rglob("*"):
        if (
            path.is_file()
            and path.suffix in (".py", ".h", ".c", ".md", ".tcl", ".xdc", ".core", ".xml")
            and "rtl" not in path.parts
        ):
            long += [f"{path.name}: {line}" for line in path.read_text().splitlines() if len(line) > 140]
    assert long == []


def test_the_same_compile_writes_the_same_bytes(block: Written, tmp_path: Path) -> None:
    assert tree(written(tmp_path / "again").folder) == tree(block.folder)
