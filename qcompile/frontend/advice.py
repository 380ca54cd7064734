"""What to export instead of an operator that qcompile does not read."""

from __future__ import annotations

from difflib import get_close_matches

from qcompile.frontend.registry import OPERATORS

_ADVICE: dict[tuple[str, ...], str] = {
    ("LSTM", "GRU", "RNN", "Scan", "Loop"): "recurrence has no spatial form; export one time step and loop on the host",
    ("If",): "export with the condition decided (torch.onnx.export in eval mode), so that one branch remains",
    ("LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization", "LRN"): (
        "its statistics are computed at run time; train with BatchNormalization, which folds into the layer before"
    ),
    ("Attention", "MultiHeadAttention", "RotaryEmbedding", "SkipLayerNormalization"): (
        "export it in parts: MatMul, Transpose and, as a softmax runs on the host alone, a function such as Relu or "
        "Sigmoid in its place"
    ),
    ("Einsum",): "export it as MatMul, Transpose and Reshape",
    ("Sqrt", "Log", "Reciprocal", "Tan", "Asin", "Acos"): (
        "it is not defined for all numbers; bound its input and quantize the result on the host, or use a "
        "function such as Sigmoid, Tanh or Softplus"
    ),
    ("DynamicQuantizeLinear", "MatMulNBits", "DynamicQuantizeMatMul"): (
        "scales computed at run time have no fixed hardware; quantize statically, as "
        "onnxruntime.quantization.quantize_static does"
    ),
    ("LogSoftmax", "Hardmax"): "end the network with Softmax or ArgMax, or with the layer before",
    ("NonMaxSuppression", "RoiAlign", "NonZero", "Unique"): "cut the network before it and run it on the host",
    ("CumSum", "CumProd"): "export the running sum as a MatMul with a triangular constant matrix",
    ("FusedConv", "FusedMatMul", "FusedGemm", "QAttention", "BiasGelu", "FastGelu", "NhwcMaxPool", "QLinearWhere"): (
        "the file was optimized for onnxruntime; export it with graph optimizations off "
        "(ORT_DISABLE_ALL, or optimization level basic)"
    ),
}


def advice(op_type: str) -> str:
    """A way out for ``op_type``: what fits it, else the nearest name that is read, else where to cut."""
    for operators, text in _ADVICE.items():
        if op_type in operators:
            return text
    near = get_close_matches(op_type, sorted({op for _, op in OPERATORS}), 1, 0.85)
    cut = "cut the network before this node, or export it from operators that qcompile reads"
    return f"did you mean {near[0]}? Else {cut}" if near else cut
