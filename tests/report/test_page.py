"""report.html: one file that stands alone, says everything, and lies well on any screen and on paper."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_example import example_report

from qcompile.report import render_html

VOID = {"meta", "br"}
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)


class _Outline(HTMLParser):
    """Checks that tags nest; collects them with their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _parsed(report: dict[str, Any]) -> _Outline:
    outline = _Outline(render_html(report))
    assert outline.open == []
    return outline


def test_the_page_is_well_formed_and_says_what_the_report_holds() -> None:
    outline = _parsed(example_report())
    headings = re.findall(r"<h2>(.*?)</h2>", render_html(example_report()))
    assert headings == ["Warnings", "Network", "Resources", "Schedule", "Quantization", "Checks"]
    for words in (
        "Bit for bit",
        "97.50%",
        "3,120",
        "31.2 dB",
        "uint6 × 2⁻⁴",
        "QC202",
        "0.10% of the float",
        "bottleneck",
    ):
        assert words in outline.text, words


def test_it_loads_nothing_and_runs_nothing() -> None:
    outline = _parsed(example_report())
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in outline.found}
    attributes = {name for _, attrs in outline.found for name in attrs}
    assert not {"src", "href"} & attributes and not any(name.startswith("on") for name in attributes)
    page = render_html(example_report())
    assert "http" not in page and "url(" not in page and "@import" not in page


def test_every_drawing_says_what_it_shows_or_is_hidden_from_readers() -> None:
    drawings = [attrs for tag, attrs in _parsed(example_report()).found if tag == "svg"]
    assert len(drawings) > 10
    for attrs in drawings:
        assert attrs.get("aria-hidden") == "true" or (attrs.get("role") == "img" and attrs.get("aria-label")), attrs


def test_names_from_the_model_are_text_and_never_markup() -> None:
    report = example_report()
    report["model"] = '<script>alert("x")</script>'
    report["layers"][0] |= {"name": "a<b>&c", "onnx_nodes": ['"><img src=x>']}
    report["layers"][1]["inputs"] = ["a<b>&c"]
    outline = _parsed(report)
    assert "a<b>&c" in outline.text
    assert not {"script", "img", "b"} & {tag for tag, _ in outline.found}


def test_the_same_report_gives_the_same_page() -> None:
    assert render_html(example_report()) == render_html(example_report())


def test_what_place_and_route_measured_is_there_where_it_ran() -> None:
    slowest = {"place": "conv", "onnx_nodes": ["/conv/Conv"], "start": "a_q", "end": "b_d"}
    made = {"image": "top.bit", "tool": "nextpnr", "clock_mhz": 25.0, "fmax_mhz": 61.27, "baud": 115200}
    made |= {
        "cells": {"LUT": {"used": 10, "available": 40}},
        "slowest": {**slowest, "logic_ns": 3.5, "routing_ns": 9.0},
    }
    text = _parsed(example_report() | {"bitstream": made}).text
    assert "up to 61.3 MHz" in text and "12.5 ns and 9.0 ns of them routing, is in conv (/conv/Conv)" in text
    assert "25.0%" in text


def test_a_sweep_shows_the_formats_that_no_other_beats() -> None:
    sizes = {"fixed:3": (1000, 0.9), "fixed:4": (2000, 0.97), "minifloat:e4m3": (4000, 0.95)}
    points = [
        {"weights": name, "activations": name, "lut": lut, "agreement": 0.5, "accuracy": share}
        for name, (lut, share) in sizes.items()
    ]
    report = example_report() | {"formats": points, "asked": {"weights": "fixed:4", "activations": "fixed:4"}}
    outline = _parsed(report)
    classes = [attrs.get("class") for tag, attrs in outline.found if tag == "circle"][-4:]
    assert classes == ["best", "best", "here", "point"]
    assert "fixed:4: 97.00%, 2,000 LUTs" in outline.text
    assert 'd="M52.0 230.0H336.0V12.0"' in render_html(report)


def test_what_is_not_known_is_left_out_or_said() -> None:
    report = example_report()
    for key in ("verify", "synth", "warnings", "quality", "asked"):
        del report[key]
    for layer in report["layers"]:
        for key in ("sqnr_db", "activations", "weights", "schedule", "reason", "macs"):
            layer.pop(key, None)
    text = _parsed(report).text
    assert "Not checked" in text and "Schedule" not in text and "Quantization" not in text
    for key in ("part", "available", "fits", "excess"):
        del report[key]
    assert "the integer graph only" in _parsed(report | {"target": None, "layers": []}).text


def test_too_much_is_shown_beyond_the_part() -> None:
    report = example_report() | {"fits": False, "excess": ["LUT: 141,120 of 70,560"]}
    report["totals"]["lut"] = 141120
    page = render_html(report)
    assert 'class="bad"' in page and "200.0%" in page and '<rect class="mark" x="50.0000"' in page


@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [390, 1100])
def test_nothing_sticks_out_of_a_phone_or_a_laptop(width: int, tmp_path: Path) -> None:
    report = example_report()
    report["layers"][0]["output_format"] = "int8 x 0.03939, zero -128"
    probe = "<script>const e = document.documentElement; document.title = e.scrollWidth - e.clientWidth</script></body>"
    page = tmp_path / "report.html"
    # A frame, as Chromium's window is at least 500 pixels wide.
    page.write_text(render_html(report).replace("</body>", probe))
    (tmp_path / "frame.html").write_text(
        f'<iframe id="f" src="report.html" style="width: {width}px; height: 800px; border: 0"></iframe>'
        "<script>f.onload = () => document.title = f.contentDocument.title</script>"
    )
    done = _chromium("--dump-dom", "--virtual-time-budget=2000", page=tmp_path / "frame.html")
    assert "<title>0</title>" in done


@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
def test_it_prints(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(render_html(example_report()))
    _chromium(f"--print-to-pdf={tmp_path / 'report.pdf'}", page=tmp_path / "report.html")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def _chromium(*words: str, page: Path) -> str:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [CHROMIUM, *flags, profile, *words, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
