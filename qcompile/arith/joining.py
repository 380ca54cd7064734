"""Adds up the terms of one row: which two to add first, so that the adders are narrow and within a depth limit."""

from __future__ import annotations

from qcompile.arith.compiled import in_place
from qcompile.arith.rows import Ints, span_width

SPAN_WEIGHT = 0.8
"""What one bit of a partial sum's width is thought to cost later, in full-adder bits (tuned on random matrices)."""

_LATE = 1e9


@in_place
def _price(low_a: int, high_a: int, up_a: int, low_b: int, high_b: int, up_b: int, differ: bool) -> float:
    """Full-adder bits of one adder plus what its width costs later."""
    base = min(up_a, up_b)
    a = up_a - base
    b = up_b - base
    if not differ:
        low = (low_a << a) + (low_b << b)
        high = (high_a << a) + (high_b << b)
    elif b >= a:
        low = (low_a << a) - (high_b << b)
        high = (high_a << a) - (low_b << b)
    else:
        low = (low_b << b) - (high_a << a)
        high = (high_b << b) - (low_a << a)
    width = span_width(low, high)
    return width - abs(a - b) + SPAN_WEIGHT * width


@in_place
def join_terms(
    count: int,
    low: Ints,
    high: Ints,
    shift: Ints,
    sign: Ints,
    depth: Ints,
    max_depth: int,
    merges: Ints,
    keep_positive: bool,
) -> int:
    """Joins terms 0..count-1 (arrays are consumed) and returns the full-adder bits.

    Repeatedly adds the two terms of least cost. The sum of 2^depth over the terms (Kraft's inequality) stays at
    most 2^max_depth if it is so at the start, which keeps the tree within max_depth. ``merges[m]`` becomes
    (first slot, second slot, first shift, second shift, subtract, result slot); the last result slot holds the
    row's shift, sign and depth. ``merges`` is [count, 9], its last columns are scratch. A row with any positive term
    comes out positive if ``keep_positive``.
    """
    limit = 1 << max_depth
    kraft = 0
    positives = 0
    for i in range(count):
        kraft += 1 << depth[i]
        if sign[i] > 0:
            positives += 1
    partner = merges[:, 6]
    alive = merges[:, 7]
    for i in range(count):
        partner[i] = -1
        alive[i] = 1
    bits = 0
    for step in range(count - 1):
        best = -1
        best_score = 1e300
        for i in range(count):
            if not alive[i]:
                continue
            if partner[i] < 0:
                own = 1e299
                for j in range(i + 1, count):
                    if alive[j]:
                        score = _price(low[i], high[i], shift[i], low[j], high[j], shift[j], sign[i] != sign[j])
                        deeper = (2 << max(depth[i], depth[j])) - (1 << depth[i]) - (1 << depth[j])
                        if kraft + deeper > limit:
                            score += _LATE * (1 + deeper)
                        if score < own:
                            own = score
                            partner[i] = j
                merges[i, 8] = int(own * 1024) if own < 1e15 else 1 << 60
            if partner[i] >= 0 and merges[i, 8] < best_score:
                best_score = merges[i, 8]
                best = i
        i = best
        j = partner[best]
        base = min(shift[i], shift[j])
        first = i
        second = j
        differ = sign[i] != sign[j]
        if differ:
            # The low bits of the minuend are wires, those of the subtrahend are not: subtract the higher one.
            if shift[i] > shift[j]:
                first = j
                second = i
            # A negative row would have to be negated, so the last positive term stays the minuend.
            if sign[first] < 0 and (shift[i] == shift[j] or (keep_positive and positives == 1)):
                first, second = second, first
            if sign[first] < 0:
                positives -= 1
        elif sign[i] > 0:
            positives -= 1
        a = shift[first] - base
        b = shift[second] - base
        if differ:
            lo = (low[first] << a) - (high[second] << b)
            hi = (high[first] << a) - (low[second] << b)
            passed = b if b >= a else 0
        else:
            lo = (low[first] << a) + (low[second] << b)
            hi = (high[first] << a) + (high[second] << b)
            passed = max(a, b)
        bits += max(span_width(lo, hi) - passed, 0)
        merges[step, 0] = first
        merges[step, 1] = second
        merges[step, 2] = a
        merges[step, 3] = b
        merges[step, 4] = 1 if differ else 0
        merges[step, 5] = i
        result_sign = sign[first]
        deep = max(depth[i], depth[j]) + 1
        growth = (1 << deep) - (1 << depth[i]) - (1 << depth[j])
        kraft += growth
        low[i] = lo
        high[i] = hi
        shift[i] = base
        sign[i] = result_sign
        depth[i] = deep
        alive[j] = 0
        # Near the depth limit every merge can make other pairs too late, so no cached partner is trusted.
        tight = growth > 0 and kraft * 4 > limit
        for q in range(count):
            if not alive[q]:
                continue
            if tight or q == i or partner[q] == i or partner[q] == j:
                partner[q] = -1
            elif q < i:
                score = _price(low[q], high[q], shift[q], lo, hi, base, sign[q] != result_sign)
                deeper = (2 << max(depth[q], deep)) - (1 << depth[q]) - (1 << deep)
                if kraft + deeper > limit:
                    score += _LATE * (1 + deeper)
                scaled = int(score * 1024) if score < 1e15 else 1 << 60
                if scaled < merges[q, 8]:
                    merges[q, 8] = scaled
                    partner[q] = i
    return bits
