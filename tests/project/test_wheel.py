"""The wheel alone, in an empty environment, compiles an example: templates and hdl are inside it."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), folder=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def _run(*words: str, folder: Path) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_sources_templates_and_hdl_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = (path for kind in ("*.py", "*.toml") for path in (ROOT / "qcompile").rglob(kind))
    expected = {path.relative_to(ROOT).as_posix() for path in sources}
    expected |= {path.relative_to(ROOT / "hdl").as_posix() for path in (ROOT / "hdl").rglob("*.py")}
    templates = (path for path in (ROOT / "templates").rglob("*") if path.is_file())
    expected |= {f"qcompile/_templates/{path.relative_to(ROOT / 'templates').as_posix()}" for path in templates}
    assert held == expected


def test_the_wheel_compiles_an_example_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "empty"
    venv.create(place, with_pip=False)
    python = str(place / "bin" / "python")
    _run(
        sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet", str(wheel), folder=tmp_path
    )
    site = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=tmp_path).strip())
    # The dependencies come from the environment of the tests. A path in a .pth file does not run the .pth files
    # behind it, so an editable qcompile there stays invisible.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = _run(
        python, "-c", "import qcompile, qcompile_hdl as h; print(qcompile.__file__, h.__file__)", folder=tmp_path
    )
    assert [Path(file).parent.parent for file in where.split()] == [site, site]

    words = ["--target", "ultra96", "--calibrate", str(ROOT / "examples" / "digits.npz"), "-o", "build"]
    _run(str(place / "bin" / "qcompile"), str(ROOT / "examples" / "digits_mlp.onnx"), *words, folder=tmp_path)
    assert list((tmp_path / "build").rglob("*.v"))
