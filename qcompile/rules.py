"""The stable diagnostic codes and what each one teaches; `qcompile explain QC301` prints an entry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """``title`` in a few words, ``text`` in a paragraph: the cause, and what usually helps."""

    title: str
    text: str


RULES: dict[str, Rule] = {
    # 1xx: import
    "QC101": Rule(
        "file cannot be read",
        "The path does not exist, cannot be opened, or does not hold an ONNX protobuf. A download that was cut "
        "short, a Git LFS pointer, or a PyTorch checkpoint with the wrong ending are the usual causes.",
    ),
    "QC102": Rule(
        "operator not supported",
        "The graph has an operator that qcompile has no exact integer meaning for. Every such node is listed at "
        "once. Export a simpler form, or cut the graph before the node.",
    ),
    "QC103": Rule(
        "shape not known",
        "Hardware has fixed shapes. The batch dimension must be 1 or open; every other dimension must be a number "
        "after shape inference. Export with fixed sizes, and a batch of 1.",
    ),
    "QC104": Rule(
        "attribute not supported",
        "The operator is supported, but not with this attribute or this combination of attributes.",
    ),
    "QC105": Rule(
        "constant expected",
        "A weight, scale, zero point or shape is computed at run time, but hardware needs it at compile time.",
    ),
    "QC106": Rule(
        "not a finite number",
        "A weight, bias or scale holds NaN or infinity. Such a network has no fixed-point meaning; the training "
        "run or the export is damaged.",
    ),
    "QC107": Rule(
        "graph is malformed",
        "The ONNX file is readable but not a valid graph: a missing input, a cycle, or shapes that do not agree.",
    ),
    "QC108": Rule(
        "no integer meaning",
        "A tensor reaches an operator that needs integers, but no quantizer in the file says on which grid it lies.",
    ),
    # 2xx: quantization
    "QC201": Rule(
        "calibration data do not fit",
        "The array has another shape or type than the network's input, or the archive holds no array that does.",
    ),
    "QC202": Rule(
        "no calibration data",
        "Ranges were measured on synthetic inputs (uniform over the usual image and unit ranges). Accuracy figures "
        "mean little until real samples are given with --calibrate.",
    ),
    "QC203": Rule(
        "format not understood",
        "A format is written `fixed:8`, `minifloat:e3m2`, `pow2:4` and so on. `qcompile formats` lists them.",
    ),
    "QC204": Rule(
        "configuration key not known",
        "qcompile.toml has a key or a layer that does not exist; the nearest existing name is offered.",
    ),
    "QC205": Rule(
        "labels do not fit",
        "Labels must be one integer per calibration or verification sample.",
    ),
    "QC211": Rule(
        "format is for weights alone",
        "Formats whose scale or levels are chosen for each group of numbers, or from the numbers themselves, need them "
        "before the hardware is made: weights are known then, activations are not.",
    ),
    "QC212": Rule(
        "no approximate product",
        "--multiply names an approximation that adds the exponent and fraction fields of two floats. Weights and "
        "operands of every layer must be minifloats for it, without zero points.",
    ),
    "QC206": Rule(
        "budget cannot be met",
        "Even the cheapest formats to choose from take more than the budget of `qcompile allocate`.",
    ),
    "QC207": Rule(
        "accuracy cannot be met",
        "None of the formats to choose from keeps the accuracy that `qcompile allocate` was asked for.",
    ),
    "QC208": Rule(
        "network is quantized already",
        "Sweeps and allocations choose formats, but the file brings quantizers of its own. Give the float network "
        "that it was made from.",
    ),
    "QC209": Rule(
        "no scheduler answers",
        "`qcompile sweep --scheduler` was given an address at which no Dask scheduler answers.",
    ),
    "QC210": Rule(
        "no statistics to calibrate from",
        "`--synthetic statistics` makes samples from the batch normalizations of a float network. This one has none, "
        "or an operator between them and the input has no gradient here. Give real samples with --calibrate.",
    ),
    # 3xx: widths and exactness
    "QC301": Rule(
        "number too wide",
        "A value's exact range needs more bits than the datapath supports. Nothing wraps silently, so the compile "
        "stops. Fewer weight or activation bits, or a smaller layer, narrow it.",
    ),
    # 4xx: lowering
    "QC401": Rule(
        "no hardware engine",
        "The operator has an exact integer meaning and runs in the emulator, but no engine builds it in hardware "
        "with these attributes.",
    ),
    "QC402": Rule(
        "nothing to round",
        "--residuals and --constants round what a quantized file computes in floats between its quantizers (batch "
        "norms, activations, residual sums). A float network has its formats from --weights and --activations, and a "
        "file whose every value goes straight into a quantizer is exact as it is.",
    ),
    "QC403": Rule(
        "exact values are very wide",
        "A quantized file computes in floats between its quantizers, and exact results carry every bit of the factors. "
        "Hardware of that width is large and slow. --residuals and --constants round such results to fixed point; the "
        "emulator then says what accuracy that leaves.",
    ),
    # 5xx: target and environment
    "QC501": Rule(
        "does not fit the target",
        "The estimated LUTs, flip-flops or block RAMs exceed the part. Fewer bits, a larger part, or folding help.",
    ),
    "QC502": Rule("target not known", "`qcompile targets` lists the targets with their resources and sources."),
    "QC503": Rule(
        "tool missing",
        "A program that this step runs is not installed; the message names the package that brings it.",
    ),
    "QC504": Rule(
        "output cannot be written",
        "The output folder or its parent is not writable, or the path is a file. Nothing was changed.",
    ),
    "QC505": Rule("option not understood", "A command line option or keyword argument has an impossible value."),
    "QC506": Rule(
        "report cannot be read",
        "The folder holds no report.json that this version of qcompile understands. Compile again into it.",
    ),
    "QC520": Rule(
        "sweep cannot be read",
        "`qcompile report FOLDER --formats FILE` takes the table of `qcompile sweep --csv FILE`, its header included.",
    ),
    "QC507": Rule(
        "rate out of reach",
        "No folding, and not even unrolled layers, take as few cycles per frame as --fps asks for at this clock: an "
        "image enters one position per cycle, and a window's padding takes cycles too. A higher clock, a smaller "
        "image, or a lower rate remain.",
    ),
    "QC530": Rule(
        "no bitstream for this target",
        "Open tools place and route ECP5, iCE40 and Gowin parts, and the demo needs a board with a known serial line: "
        "`qcompile targets` marks these boards. For others the vendor's tool builds the Verilog.",
    ),
    "QC531": Rule(
        "place and route failed",
        "nextpnr found no place for all cells, or no routes between them. Estimates of resources leave a tenth of the "
        "part free, but dense designs may need more. Fewer lanes, fewer bits or a larger part help.",
    ),
    "QC532": Rule(
        "clock missed after routing",
        "The routed design has a path between two registers that takes longer than the clock's period. Registers are "
        "inserted by a model of the family's delays, and the real ones depend on the placement. The message names the "
        "layer and the clock that would hold.",
    ),
    "QC533": Rule(
        "clock cannot be made",
        "The board's PLL makes only certain multiples of the crystal, within the data sheet's limits.",
    ),
    "QC534": Rule(
        "pins without a demo",
        "The serial line of a bitstream's demo is joined to plain AXI4-Stream pins. A block with other pins is for a "
        "design of your own.",
    ),
    "QC510": Rule(
        "pins not supported there",
        "--interface, --status and --clock-enable change the pins of the Verilog's top module. HLS C++ has AXI4-Stream "
        "pins only.",
    ),
    # 9xx: internal
    "QC901": Rule(
        "verification mismatch",
        "The RTL and the emulator gave different bits. This is a bug in qcompile: please report it with the model.",
    ),
}


def rule(code: str) -> Rule:
    """The rule behind ``code``; KeyError where there is none."""
    return RULES[code]
