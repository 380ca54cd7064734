"""Where the elements of a nearest-neighbour Resize come from."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor

from qcompile.frontend.call import Call


def wanted_sizes(call: Call, shape: tuple[int, ...]) -> list[tuple[int, Fraction]]:
    """Per axis the output size and the scale, from whichever of scales and sizes the operator version has."""
    rank = len(shape)
    axes = tuple(a % rank for a in call.attribute("axes") or range(rank))
    scales_at = 2 if call.op_type == "Resize" and call.version >= 11 else 1
    given_sizes = call.integers(3, "sizes") if scales_at == 2 and call.has(3) else ()
    result = [(n, Fraction(1)) for n in shape]
    if given_sizes:
        ratios = [Fraction(size, shape[axis]) for axis, size in zip(axes, given_sizes, strict=True)]
        policy = call.attribute("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            for axis in axes:
                result[axis] = (floor(ratio * shape[axis] + Fraction(1, 2)), ratio)
            return result
        for axis, size, ratio in zip(axes, given_sizes, ratios, strict=True):
            result[axis] = (size, ratio)
        return result
    if call.op_type == "Upsample" and call.version < 9:
        scales = list(call.attribute("scales"))
    else:
        scales = call.constant(scales_at, "scales").ravel().tolist()
    if len(scales) != len(axes):
        raise call.refuse("QC107", f"{len(scales)} scales for {len(axes)} axes", "fix the scales")
    for axis, scale in zip(axes, scales, strict=True):
        exact = Fraction(scale)
        result[axis] = (floor(exact * shape[axis]), exact)
    return result


def nearest_positions(call: Call, size: int, wanted: int, scale: Fraction) -> tuple[int, ...]:
    """For every output position along an axis the input position that it copies."""
    modern = call.op_type == "Resize" and call.version >= 11
    rule = call.attribute("coordinate_transformation_mode", "half_pixel") if modern else "asymmetric"
    rounding = call.attribute("nearest_mode", "round_prefer_floor") if modern else "floor"
    half = Fraction(1, 2)
    coordinates: dict[str, Callable[[Fraction], Fraction]] = {
        "asymmetric": lambda p: p / scale,
        "half_pixel": lambda p: (p + half) / scale - half,
        "pytorch_half_pixel": lambda p: (p + half) / scale - half if wanted > 1 else Fraction(0),
        "align_corners": lambda p: Fraction(p * (size - 1), wanted - 1) if wanted > 1 else Fraction(0),
        "half_pixel_symmetric": lambda p: (
            Fraction(size, 2) * (1 - Fraction(wanted) / (scale * size)) + (p + half) / scale - half
        ),
    }
    nearest: dict[str, Callable[[Fraction], int]] = {
        "round_prefer_floor": lambda x: ceil(x - half),
        "round_prefer_ceil": lambda x: floor(x + half),
        "floor": floor,
        "ceil": ceil,
    }
    if rule not in coordinates or rounding not in nearest:
        raise call.refuse(
            "QC104",
            f"coordinate_transformation_mode {rule}, nearest_mode {rounding}",
            f"{', '.join(coordinates)} with {', '.join(nearest)} are supported",
        )
    found = [nearest[rounding](coordinates[rule](Fraction(p))) for p in range(wanted)]
    return tuple(min(max(p, 0), size - 1) for p in found)
