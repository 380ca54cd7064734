"""qcompile.toml and its merging with the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from qcompile.config import Config, load_config
from qcompile.errors import CompileError
from qcompile.numerics.formats import Fixed
from qcompile.numerics.rounding import Rounding
from qcompile.quantize import LayerFormats, QuantizeOptions

EVERYTHING = """
[quantize]
weights = "fixed:4"
activations = "fixed:6:3"
formats = "as-is"
scales = "free"
weight_range = "minmax"
activation_range = "percentile:99.9"
weight_rounding = "gptq"
adder_slack = 0.5
equalize = true
smooth = 0.25
propagate = 1
bias_correction = false
output = "fixed:16"
rounding = "half_even"
synthetic = "statistics"
input_range = [0, 255]

[layers."/stem/Conv"]
weights = "fixed:8"

[layers.image]
activations = "ufixed:5"

[target]
name = "ultra96"
clock_mhz = 200
fps = 1000.5
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "qcompile.toml"
    path.write_text(text)
    return path


def test_every_key_is_read(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, EVERYTHING)) == Config(
        QuantizeOptions(
            weights=Fixed(4),
            activations=Fixed(6, frac=3),
            formats="as-is",
            scales="free",
            weight_range="minmax",
            activation_range="percentile:99.9",
            weight_rounding="gptq",
            adder_slack=0.5,
            equalize=True,
            smooth=0.25,
            propagate=1.0,
            bias_correction=False,
            output=Fixed(16),
            rounding=Rounding.HALF_EVEN,
            synthetic="statistics",
            input_range=(0, 255),
            overrides={
                "/stem/Conv": LayerFormats(weights=Fixed(8)),
                "image": LayerFormats(activations=Fixed(5, signed=False)),
            },
        ),
        target="ultra96",
        clock_mhz=200,
        fps=1000.5,
    )


def test_nothing_chosen_is_the_default(tmp_path: Path) -> None:
    assert load_config(None) == load_config(written(tmp_path, "")) == Config()


def test_the_command_line_overrules_the_file_where_it_says_something(tmp_path: Path) -> None:
    given = {"weights": "fixed:3", "activations": None, "target": "zcu104", "bias_correction": True}
    config = load_config(written(tmp_path, EVERYTHING), given)
    assert config.quantize.weights == Fixed(3)
    assert config.quantize.activations == Fixed(6, frac=3)
    assert config.quantize.bias_correction
    assert config.target == "zcu104" and config.fps == 1000.5


def test_parsed_formats_may_be_given_instead_of_text() -> None:
    assert load_config(None, {"weights": Fixed(5), "output": "accumulator"}).quantize.weights == Fixed(5)


def told(folder: Path, text: str, given: dict[str, object] | None = None) -> list[str]:
    path = written(folder, text)
    with pytest.raises(CompileError) as caught:
        load_config(path, given or {})
    return [str(diagnostic).replace(str(path), "FILE") for diagnostic in caught.value.diagnostics]


def test_unknown_tables_and_keys_offer_the_nearest_and_come_together(tmp_path: Path) -> None:
    text = '[quantise]\n[quantize]\nweigths = "fixed:4"\n[layers.conv]\nbits = 4\n[target]\nclock = 3\n'
    assert told(tmp_path, text) == [
        'error[QC204]: FILE: there is no table "quantise"\n  = help: did you mean "quantize"?',
        'error[QC204]: FILE: [quantize]: there is no key "weigths"\n  = help: did you mean "weights"?',
        'error[QC204]: FILE: [target]: there is no key "clock"\n  = help: did you mean "clock_mhz"?',
        'error[QC204]: FILE: [layers."conv"]: there is no key "bits"\n  = help: there are weights, activations',
    ]


@pytest.mark.parametrize(
    ("line", "found", "needed"),
    [
        ("scales = 2", "2", "a word in quotes"),
        ("bias_correction = 1", "1", "true or false"),
        (
            'rounding = "up"',
            "'up'",
            "one of half_even, half_up, half_down, half_away, half_zero, floor, ceil, zero, away",
        ),
        ("input_range = [1]", "[1]", "[low, high]"),
        ('input_range = ["a", 1]', "['a', 1]", "[low, high]"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(tmp_path: Path, line: str, found: str, needed: str) -> None:
    key = line.split()[0]
    assert told(tmp_path, f"[quantize]\n{line}\n") == [
        f"error[QC505]: FILE: [quantize] {key}: {found} is not understood\n  = help: write {needed}"
    ]


def test_a_format_that_is_not_understood_names_its_place(tmp_path: Path) -> None:
    text = '[quantize]\nweights = "int4"\n[layers.conv]\nactivations = 4\n'
    first, second = told(tmp_path, text)
    assert first.startswith("error[QC203]: FILE: [quantize] weights: format 'int4' is not understood\n")
    assert second.startswith("error[QC203]: FILE: [layers.\"conv\"] activations: format '4' is not understood\n")


def test_file_and_command_line_mistakes_are_told_together(tmp_path: Path) -> None:
    first, second, third = told(tmp_path, "[target]\nfps = 0\n", {"clock_mhz": -1, "targte": "x"})
    assert first == "error[QC505]: FILE: [target] fps: 0 is not understood\n  = help: write a number above 0"
    assert second == 'error[QC204]: there is no key "targte"\n  = help: did you mean "target"?'
    assert third == "error[QC505]: clock_mhz: -1 is not understood\n  = help: write a number above 0"


def test_choices_are_checked_too(tmp_path: Path) -> None:
    assert told(tmp_path, '[quantize]\nscales = "octal"\n') == [
        "error[QC505]: scales: 'octal' is not a choice\n  = help: write one of pow2, free, dyadic"
    ]


def test_tables_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    assert told(tmp_path, "target = 'ultra96'\nlayers = 3\n") == [
        "error[QC505]: FILE: [target]: 'ultra96' is not understood\n  = help: write a table, [target]",
        'error[QC505]: FILE: layers: 3 is not understood\n  = help: write tables, [layers."NodeName"]',
    ]


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    (message,) = told(tmp_path, "[quantize\n")
    assert message.startswith("error[QC505]: FILE: is not TOML: ")
    assert message.endswith("  = help: correct the line, see https://toml.io")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CompileError) as caught:
        load_config(tmp_path / "none.toml")
    assert str(caught.value).endswith(
        "none.toml: cannot be read: No such file or directory\n  = help: check the path after --config"
    )
