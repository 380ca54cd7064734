"""What has no integer meaning is refused with a code, the node and a way out; never with a traceback."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import pytest
from small_networks import Network, integers

from qcompile.errors import CompileError
from qcompile.ir import model
from qcompile.ir.model.base import MODEL, ModelOp, RealType
from qcompile.ir.window import Window
from qcompile.numerics.quantizer import Quantizer


def refused(graph):
    with pytest.raises(CompileError) as caught:
        integers(graph)
    return [str(d) for d in caught.value.diagnostics]


def test_a_real_input_teaches_the_option_that_gives_its_grid():
    n = Network(1, 3, 4, 4, quantizer=None)
    (text,) = refused(n.graph(n.add(model.Conv(Window((3, 3))), "x", n.random(2, 3, 3, 3))))
    assert text == (
        'error[QC108]: "/conv2": conv reads the network input, and no quantizer says on which grid it lies\n'
        "  = help: quantize the input in the file, or give its grid: --input-format fixed:8 means 8 bits over "
        "--input-range 0 1 (in qcompile.toml: [quantize] input_format and input_range)"
    )


def test_an_input_quantizer_without_limits_teaches_the_range():
    n = Network(1, 4, quantizer=Quantizer((Fraction(1),)))
    (text,) = refused(n.graph(n.add(model.MatMul(), n.x, n.random(4, 2))))
    assert "the quantizer of the network input has no limits" in text
    assert "--input-range 0 255" in text


def test_a_function_without_a_quantizer_behind_it_is_refused():
    n = Network(1, 4)
    y = n.add(model.MatMul(), n.add(model.Curve("tanh"), n.x), n.random(4, 2))
    (text,) = refused(n.graph(y))
    assert text.startswith('error[QC108]: "/matmul')
    assert "the result of tanh is not on any grid" in text


def test_a_table_that_would_be_too_large_is_refused():
    n = Network(1, 512, quantizer=Quantizer((Fraction(1, 4),), low=-128, high=127))
    y = n.add(model.Curve("gelu"), n.add(model.MatMul(), n.x, n.random(512, 2)))
    (text,) = refused(n.graph(n.quantize(y)))
    assert "error[QC301]" in text
    assert "quantize the accumulator to at most 16 bits before the nonlinearity" in text


def test_a_divisor_must_be_constant():
    n = Network(1, 4, 4)
    (text,) = refused(n.graph(n.add(model.Div(), n.x, n.x)))
    assert "error[QC105]" in text and "operand 1 of div must be a constant" in text


def test_only_the_host_computes_a_softmax():
    n = Network(1, 4)
    y = n.add(model.Softmax(1), n.x)
    (text,) = refused(n.graph(n.add(model.MatMul(), n.quantize(y), n.random(4, 2))))
    assert "matmul after softmax is not supported" in text
    assert "cut the graph before it, or train attention with Relu or Sigmoid in its place" in text


def test_a_division_by_zero_is_damage():
    n = Network(1, 4)
    (text,) = refused(n.graph(n.add(model.Div(), n.x, n.constant(1.0, 0.0, 2.0, 1.0))))
    assert "error[QC106]" in text


def test_all_findings_are_reported_together():
    n = Network(1, 4, 4)
    a = n.add(model.Div(), n.x, n.x)
    b = n.add(model.Div(), n.x, n.constant(0.0))
    assert len(refused(n.graph(n.add(model.Add(), a, b), n.add(model.Mul(), b, a)))) == 2


def test_an_operation_without_a_rule_is_not_supported():
    @dataclass(frozen=True)
    class Unheard(ModelOp):
        mnemonic: ClassVar[str] = "unheard"

        def result_type(self, x: RealType) -> RealType:
            return x

    MODEL.registry["unheard"] = Unheard
    try:
        n = Network(1, 4)
        (text,) = refused(n.graph(n.add(Unheard(), n.x)))
    finally:
        del MODEL.registry["unheard"]
    assert text.startswith('error[QC102]: "/unheard2": unheard has no integer meaning here')


def test_every_model_operation_has_a_rule():
    from qcompile.passes.integerize.rules import RULES

    assert set(MODEL.registry.values()) == set(RULES)


def test_one_input_has_one_grid():
    n = Network(1, 4)
    (text,) = refused(n.graph(n.add(model.Add(), n.x, n.quantize("x"))))
    assert "the network input is quantized twice, on different grids" in text
