"""Names that C++ leaves free."""

from __future__ import annotations

# Keywords, macros of common headers, and what templates/hls defines itself.
_RESERVED = frozenset(
    """alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const constexpr
    continue default delete do double else enum explicit export extern false final float for friend goto if inline
    int long mutable namespace new noexcept not not_eq nullptr operator or or_eq override private protected public
    register return short signed sizeof static struct switch template this throw true try typedef typeid typename
    union unsigned using virtual void volatile wchar_t while xor xor_eq
    assert errno stdin stdout stderr linux unix major minor main std hls shim qcompile
    sbits ubits sbits_entry ubits_entry word native literal constant lookup at_least greater xnor select maximum clamp
    booth_digit half_of round_significand beat image kernel strides pads dilations padding sliding_window pipeline
    duplicate collect distribute sum_beats reorder alternate core input output receive send signed_shift moved
    x y v""".split()  # noqa: SIM905
)


def cpp_name(name: str) -> str:
    """``name``, an identifier already, with an underscore where C++ or the templates use it."""
    return f"{name}_" if name in _RESERVED else name
