"""The output folder appears complete or not at all, and nobody's files are lost."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from qcompile.errors import CompileError
from qcompile.output import check_folder, write_folder

FILES = {"report.json": "{}\n", "rtl/top.v": "module top; endmodule\n", "vectors.bin": b"\x00\xff"}


def _tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _refusal(folder: Path) -> str:
    with pytest.raises(CompileError) as caught:
        write_folder(folder, FILES)
    return str(caught.value)


def test_a_folder_holds_its_files_and_their_sums(tmp_path: Path) -> None:
    write_folder(tmp_path / "deep" / "build", FILES)
    tree = _tree(tmp_path / "deep" / "build")
    assert sorted(tree) == ["SHA256SUMS", "report.json", "rtl/top.v", "vectors.bin"]
    assert tree["vectors.bin"] == b"\x00\xff"
    digest = hashlib.sha256(b"{}\n").hexdigest()
    assert tree["SHA256SUMS"].decode().splitlines()[0] == f"{digest}  report.json"
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path / "deep" / "build", check=True)


def test_the_same_files_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", FILES)
    write_folder(tmp_path / "b", dict(reversed(FILES.items())))
    assert _tree(tmp_path / "a") == _tree(tmp_path / "b")


def test_an_earlier_build_is_replaced_whole(tmp_path: Path) -> None:
    write_folder(tmp_path / "build", {**FILES, "old.v": "old"})
    write_folder(tmp_path / "build", {"report.json": "new"})
    assert sorted(_tree(tmp_path / "build")) == ["SHA256SUMS", "report.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["build"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    write_folder(tmp_path / "build", FILES)
    assert "report.json" in _tree(tmp_path / "build")


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "build").symlink_to(tmp_path / "real")
    write_folder(tmp_path / "build", FILES)
    assert (tmp_path / "build").is_symlink()
    assert "report.json" in _tree(tmp_path / "real")


def test_a_folder_with_foreign_files_is_refused_and_kept(tmp_path: Path) -> None:
    build = tmp_path / "build"
    build.mkdir()
    (build / "thesis.tex").write_text("years of work")
    assert _refusal(build) == (
        f"error[QC504]: {build}: holds files that qcompile did not write: thesis.tex\n"
        "  = help: give another folder with -o, or move these files away"
    )
    assert _tree(build) == {"thesis.tex": b"years of work"}


def test_a_file_added_to_a_build_is_not_deleted_with_it(tmp_path: Path) -> None:
    build = tmp_path / "build"
    write_folder(build, FILES)
    for name in ("a.txt", "b.txt", "c.txt", "rtl/mine.v"):
        (build / name).write_text("mine")
    assert "did not write: a.txt, b.txt, c.txt and 1 more\n" in _refusal(build)
    assert (build / "rtl" / "mine.v").read_text() == "mine"


def test_what_its_makefiles_made_goes_with_a_build(tmp_path: Path) -> None:
    build = tmp_path / "build"
    write_folder(build, {**FILES, "tb/Makefile": "all:\n"})
    (build / "tb" / "obj" / "deep").mkdir(parents=True)
    (build / "tb" / "obj" / "deep" / "a.o").write_text("made")
    (build / "rtl" / "obj").mkdir()
    (build / "rtl" / "obj" / "mine.v").write_text("mine")
    assert "did not write: rtl/obj/mine.v\n" in _refusal(build)
    (build / "rtl" / "obj" / "mine.v").unlink()
    write_folder(build, FILES)
    assert sorted(_tree(build)) == ["SHA256SUMS", *sorted(FILES)]


def test_bytecode_of_its_modules_goes_with_a_build(tmp_path: Path) -> None:
    build = tmp_path / "build"
    write_folder(build, {**FILES, "driver/network.py": ""})
    kept = build / "driver" / "__pycache__"
    kept.mkdir()
    for name in ("network.cpython-311.pyc", "mine.cpython-311.pyc"):
        (kept / name).write_text("compiled")
    assert "did not write: driver/__pycache__/mine.cpython-311.pyc\n" in _refusal(build)
    (kept / "mine.cpython-311.pyc").unlink()
    write_folder(build, FILES)
    assert sorted(_tree(build)) == ["SHA256SUMS", *sorted(FILES)]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "build").write_text("a file")
    assert _refusal(tmp_path / "build").startswith(f"error[QC504]: {tmp_path / 'build'}: is a file\n")
    assert "is a file" in _refusal(tmp_path / "build" / "below")


def test_the_current_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert "error[QC504]: .: is the current folder or around it\n" in _refusal(Path())
    assert "error[QC504]: ..: is the current folder or around it\n" in _refusal(Path(".."))


def test_a_parent_that_cannot_be_written_is_refused() -> None:
    # Not even root may make files in /proc.
    assert _refusal(Path("/proc/qcompile")).startswith("error[QC504]: /proc/qcompile: ")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("step", ["write_bytes", "rename"])
def test_an_interrupted_write_leaves_the_old_build_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupt: BaseException, step: str
) -> None:
    write_folder(tmp_path / "build", FILES)
    before = _tree(tmp_path / "build")
    original, calls = getattr(Path, step), []

    def failing(self: Path, *words: object) -> object:
        calls.append(self)
        if len(calls) == 2:
            raise interrupt
        return original(self, *words)

    monkeypatch.setattr(Path, step, failing)
    with pytest.raises((KeyboardInterrupt, CompileError)):
        write_folder(tmp_path / "build", {"report.json": "new", "more": "new"})
    monkeypatch.undo()
    assert _tree(tmp_path / "build") == before
    assert [path.name for path in tmp_path.iterdir()] == ["build"]


def test_the_early_check_changes_nothing(tmp_path: Path) -> None:
    check_folder(tmp_path / "build")
    assert [path.name for path in tmp_path.iterdir()] == []
