"""What a user decides about post-training quantization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from qcompile.errors import fail
from qcompile.numerics.formats import Fixed, Format
from qcompile.numerics.products import Product
from qcompile.numerics.rounding import Rounding
from qcompile.quantize.rounding import ROUNDINGS

SCALES = ("pow2", "free", "dyadic")
SYNTHETIC = ("uniform", "statistics")
FORMATS = ("auto", "as-is")
MULTIPLY = tuple(str(product) for product in Product)
WEIGHT_RANGES = ("minmax", "absmean", "mse", "output")
_FEW_BITS = 6
"""Formats of at most so many bits get every method by default."""
_WEIGHTS = Fixed(8, narrow=True)
_ACTIVATIONS = Fixed(8)


@dataclass(frozen=True)
class LayerFormats:
    """Formats of one layer that differ from the network's; None keeps the network's."""

    weights: Format | None = None
    activations: Format | None = None


@dataclass(frozen=True)
class QuantizeOptions:
    """How weights and activations get their grids.

    A format without ``frac`` gets its scale from the samples. Activations are unsigned wherever they cannot be
    negative, whatever the format says; ``ufixed`` forces it.

    ``formats``: with "auto", weights that lie on a small grid of their own (±α, {-α, 0, α}, ±2^p·s, few levels)
    keep it instead of getting ``weights``, unless ``overrides`` name a format for their layer; with "as-is" they
    are weights like any other.
    ``scales``: with "pow2" every requantization is a shift, with "free" a constant multiplication (behind
    weights that keep their grid, their scale decides). With "dyadic" scales of weights have four significant bits
    and those of activations are powers of two: the constant has at most two or three digits.
    ``weight_range``: "minmax"; "absmean", where code 1 is the mean magnitude (for binary and ternary weights);
    "mse", the least squared error of the weights; or "output", the least squared
    error of the layer's results on the samples. ``activation_range``: "minmax", "mse", "kl" (least divergence), or
    "percentile:P" with P in percent.
    ``weight_rounding``: "nearest", or one of the methods that let the layer's results on the samples move least,
    which `qcompile.quantize.rounding` has; "auto" as in `settled`. ``adder_slack``: the share by which a layer's
    error may grow where that saves signed digits of its weights, and so adders. ``equalize``: factors move between
    layers until their weights have like ranges; ``smooth``: channels of activations get ranges that one grid suits,
    as far as this share says. ``propagate``: the share of the error of its rounded operands that each layer's
    weights make up for. None for either as in `settled`.
    ``multiply``: a product of `qcompile.numerics.products`; all but "exact" are approximations, of minifloats.
    ``bias_correction``: each layer's mean result on the samples becomes that of the float network.
    ``output``: the network's results stay on the exact grid of the last accumulator ("accumulator"), or get a
    format. ``rounding`` is that of activations; weights round half to even. ``overrides`` go by ONNX node name;
    ``input_range`` is where synthetic samples lie; ``synthetic``: "uniform", or with "statistics" so that the batch
    normalizations of a float network see what they saw in training. ``input_format`` over that range is the grid of
    inputs that a quantized file leaves real; None refuses them.
    """

    weights: Format = _WEIGHTS
    activations: Format = _ACTIVATIONS
    formats: str = "auto"
    scales: str = "pow2"
    weight_range: str = "output"
    activation_range: str = "mse"
    weight_rounding: str = "auto"
    adder_slack: float = 0.0
    equalize: bool = False
    smooth: float | None = None
    propagate: float | None = None
    multiply: str = "exact"
    bias_correction: bool = True
    output: str | Format = "accumulator"
    rounding: Rounding = Rounding.HALF_UP
    overrides: Mapping[str, LayerFormats] = field(default_factory=lambda: MappingProxyType({}))
    synthetic: str = "uniform"
    input_range: tuple[float, float] = (0.0, 1.0)
    input_format: Format | None = None

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("formats", self.formats, FORMATS),
            ("scales", self.scales, SCALES),
            ("synthetic", self.synthetic, SYNTHETIC),
            ("weight_range", self.weight_range, WEIGHT_RANGES),
            ("weight_rounding", self.weight_rounding, ("auto", *ROUNDINGS)),
            ("multiply", self.multiply, MULTIPLY),
        ):
            if value not in choices:
                raise fail("QC505", name, f"{value!r} is not a choice", f"write one of {', '.join(choices)}")
        if self.activation_range not in ("minmax", "mse", "kl") and not self.percentile:
            raise fail(
                "QC505",
                "activation_range",
                f"{self.activation_range!r} is not a choice",
                "write minmax, mse, kl, or percentile:P with 50 < P <= 100, as in percentile:99.9",
            )
        for name, share in (
            ("smooth", self.smooth),
            ("propagate", self.propagate),
            ("adder_slack", self.adder_slack),
        ):
            if share is not None and not 0 <= share <= 1:
                raise fail("QC505", name, f"{share:g} is not a share", "write a number from 0 to 1, as in 0.5")
        if isinstance(self.output, str) and self.output != "accumulator":
            way_out = "write accumulator, or a format as in fixed:16"
            raise fail("QC505", "output", f"{self.output!r} is not a choice", way_out)
        self._check_activations()
        low, high = self.input_range
        if not low < high:
            raise fail("QC505", "input_range", f"[{low}, {high}] is empty", "write [low, high] with low < high")

    def _check_activations(self) -> None:
        layers = {f'activations of "{name}"': layer.activations for name, layer in self.overrides.items()}
        for where, chosen in (
            *(("activations", self.activations), ("input_format", self.input_format), ("output", self.output)),
            *layers.items(),
        ):
            if isinstance(chosen, Format) and chosen.for_weights_only:
                raise fail(
                    "QC211",
                    where,
                    f"format {chosen} is for weights alone",
                    "choose a format whose scale a whole tensor shares, as in fixed:8, minifloat:e3m2 or pow2:4",
                )

    def settled(self, samples: int) -> QuantizeOptions:
        """What is left to the compiler, decided: all methods where few bits are asked for and real samples are there.

        With more bits there is nothing to win, and values that nobody measured (``samples`` 0) show no direction
        worth keeping.
        """
        formats = [self.weights, self.activations]
        for layer in self.overrides.values():
            formats += [format for format in (layer.weights, layer.activations) if format is not None]
        helps = samples > 0 and min(format.bits for format in formats) <= _FEW_BITS
        share = 1.0 if helps else 0.0
        return replace(
            self,
            weight_rounding=("gptq+comq" if helps else "nearest")
            if self.weight_rounding == "auto"
            else self.weight_rounding,
            smooth=share if self.smooth is None else self.smooth,
            propagate=share if self.propagate is None else self.propagate,
        )

    @property
    def needs_moments(self) -> bool:
        """Whether weights are rounded by what the layer's results show."""
        return self.weight_rounding != "nearest" or self.adder_slack > 0

    @property
    def percentile(self) -> float | None:
        """P of "percentile:P"; None for the other range rules."""
        kind, _, text = self.activation_range.partition(":")
        try:
            percent = float(text)
        except ValueError:
            return None
        return percent if kind == "percentile" and 50 < percent <= 100 else None
