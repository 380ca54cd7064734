"""The output folder: complete or absent, the same bytes every time, and never at the cost of somebody's files.

A new folder is written beside the old one and takes its place by renaming. ``SHA256SUMS`` lists every file in it
(`sha256sum -c SHA256SUMS` checks them), which is also how a later run recognises the folder as its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePath

from qcompile.errors import CompileError, fail

SUMS = "SHA256SUMS"
OBJECTS = "obj"
"""What the Makefiles of an output folder build, beside them."""
_SHOWN = 3  # files named in a refusal


def write_folder(folder: str | os.PathLike[str], files: Mapping[str, str | bytes]) -> None:
    """Replace ``folder`` by ``files`` (relative POSIX paths); QC504 where it cannot be, and nothing has changed."""
    check_folder(folder)
    target = Path(folder).resolve()
    contents = {name: text.encode("utf-8") if isinstance(text, str) else text for name, text in sorted(files.items())}
    contents[SUMS] = _sums(contents)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from None
    try:
        for name, content in contents.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        fresh.chmod(0o777 & ~_umask())
        _swap(fresh, target)
    except OSError as error:
        raise _unwritable(target, error) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def renew_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write some of an output folder's files again, and their sums; QC504 where that cannot be.

    A folder that lists no sums is not ours, and stays as it is.
    """
    try:
        listed = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    known = {name: digest for digest, _, name in (line.partition("  ") for line in listed)}
    contents = {name: text.encode("utf-8") for name, text in files.items()}
    known |= {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    sums = "".join(f"{digest}  {name}\n" for name, digest in sorted(known.items())).encode()
    try:
        for name, content in {**contents, SUMS: sums}.items():
            if not (folder / name).exists() or (folder / name).read_bytes() != content:
                (folder / name).write_bytes(content)
    except OSError as error:
        raise _unwritable(folder, error) from None


def check_folder(folder: str | os.PathLike[str]) -> None:
    """QC504 unless ``folder`` is absent, empty, or written by `write_folder` and not added to since.

    Cheap, so that a long compile can refuse before it starts.
    """
    try:
        target = Path(folder).resolve()
        here = Path.cwd()
        if target == here or target in here.parents:
            # Its replacement would leave the user's shell in a folder that no longer exists.
            raise fail("QC504", str(folder), "is the current folder or around it", "give a folder inside it with -o")
        if not target.is_dir():
            if target.exists():
                raise fail("QC504", str(folder), "is a file", "give another folder with -o")
            _check_parent(target)
            return
        listed = _listed(target)
        present = (path.relative_to(target) for path in target.rglob("*") if not path.is_dir())
        foreign = sorted(path.as_posix() for path in present if not _is_ours(path, listed))
    except OSError as error:
        raise _unwritable(Path(folder), error) from None
    if foreign:
        more = f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""
        raise fail(
            "QC504",
            str(folder),
            f"holds files that qcompile did not write: {', '.join(foreign[:_SHOWN])}{more}",
            "give another folder with -o, or move these files away",
        )
    _check_parent(target)


def _check_parent(target: Path) -> None:
    parent = next((path for path in target.parents if path.exists()), target.parent)
    if not parent.is_dir():
        raise fail("QC504", str(target), f"{parent} is a file", "give another folder with -o")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise fail("QC504", str(target), f"{parent} is not writable", "give another folder with -o")


def _sums(contents: Mapping[str, bytes]) -> bytes:
    lines = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items())
    return "".join(lines).encode()


def _listed(folder: Path) -> set[str]:
    """The files that the folder's own list names; empty where it has none."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return set()
    return {SUMS} | {name for digest, _, name in (line.partition("  ") for line in lines) if len(digest) == 64}


def _is_ours(path: PurePath, listed: set[str]) -> bool:
    """Whether ``path`` was written, is a written module's bytecode, or below the ``obj`` beside a written Makefile."""
    makers = [folder.parent / "Makefile" for folder in path.parents if folder.name == OBJECTS]
    if path.parent.name == "__pycache__" and path.suffix == ".pyc":
        makers.append(path.parent.parent / f"{path.name.partition('.')[0]}.py")
    return any(known.as_posix() in listed for known in (path, *makers))


def _swap(fresh: Path, target: Path) -> None:
    """Rename ``fresh`` to ``target``; what was there is removed only once the new one is in place."""
    if not target.exists():
        fresh.rename(target)
        return
    old = fresh.with_name(fresh.name + ".old")
    try:
        target.rename(old)
        fresh.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _unwritable(target: Path, error: OSError) -> CompileError:
    return fail("QC504", str(target), f"{error.strerror or error}", "give another folder with -o")
