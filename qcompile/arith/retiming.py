"""Stages of a pipelined datapath at the least register bits: the kernels.

Register bits are an L-natural-convex function of the stages (Murota, Discrete Convex Analysis, 2003, ch. 10). From the
earliest stages, the least minimum is reached by moving, step by step, the best set of nodes one stage later; each best
set is a minimum cut. There are at most as many steps as stages. Timing constraints are those of Leiserson and Saxe,
Retiming Synchronous Circuitry, Algorithmica 1991: a path longer than the period must cross a register.
"""

from __future__ import annotations

import numpy as np

from qcompile.arith.compiled import compiled, entry, in_place
from qcompile.arith.rows import Ints

_FOREVER = 1 << 50


@entry
def earliest_stages(first: Ints, operand: Ints, delay: Ints, period: float, stage: Ints, arrival: Ints) -> int:
    """Least stage of every node and its arrival time in it; returns the last stage used, -1 if a delay is too long."""
    last = 0
    for v in range(delay.shape[0]):
        own = 0
        for k in range(first[v], first[v + 1]):
            own = max(own, stage[operand[k]])
        begin = 0.0
        for k in range(first[v], first[v + 1]):
            if stage[operand[k]] == own:
                begin = max(begin, arrival[operand[k]])
        if delay[v] > period:
            return -1
        if begin + delay[v] > period:
            own += 1
            begin = 0.0
        stage[v] = own
        arrival[v] = begin + delay[v]
        last = max(last, own)
    return last


@compiled
def _latest_stages(reader_first: Ints, reader: Ints, delay: Ints, period: float, last: int, stage: Ints) -> None:
    tail = np.zeros(delay.shape[0], np.float64)
    for v in range(delay.shape[0] - 1, -1, -1):
        own = last
        for k in range(reader_first[v], reader_first[v + 1]):
            own = min(own, stage[reader[k]])
        rest = 0.0
        for k in range(reader_first[v], reader_first[v + 1]):
            if stage[reader[k]] == own:
                rest = max(rest, tail[reader[k]])
        if rest + delay[v] > period:
            own -= 1
            rest = 0.0
        stage[v] = own
        tail[v] = rest + delay[v]


@compiled
def _long_pairs(
    reader_first: Ints, reader: Ints, delay: Ints, period: float, early: Ints, late: Ints, pairs: Ints
) -> int:
    """Fills ``pairs`` [n, 2] with nodes (u, v) that need a register between them, and returns how many there are.

    Only those that no pair starting at a reader of u, or ending before v, implies. Counts on where ``pairs`` is full.
    """
    nodes = delay.shape[0]
    longest = np.zeros(nodes, np.float64)
    owner = np.full(nodes, -1, np.int64)
    heap = np.empty(nodes + 1, np.int64)
    found = 0
    for u in range(nodes):
        size = 1
        heap[0] = u
        owner[u] = u
        longest[u] = delay[u]
        while size:
            v = heap[0]
            size -= 1
            moved = heap[size]
            i = 0
            while True:
                child = 2 * i + 1
                if child >= size:
                    break
                if child + 1 < size and heap[child + 1] < heap[child]:
                    child += 1
                if heap[child] >= moved:
                    break
                heap[i] = heap[child]
                i = child
            heap[i] = moved
            if longest[v] > period:
                if longest[v] - delay[u] <= period and early[v] <= late[u]:
                    if found < pairs.shape[0]:
                        pairs[found, 0] = u
                        pairs[found, 1] = v
                    found += 1
                continue
            for k in range(reader_first[v], reader_first[v + 1]):
                c = reader[k]
                through = longest[v] + delay[c]
                if owner[c] == u:
                    longest[c] = max(longest[c], through)
                    continue
                # A node that can never share u's stage needs no constraint, nor does anything behind it.
                if early[c] > late[u]:
                    continue
                owner[c] = u
                longest[c] = through
                i = size
                size += 1
                while i > 0 and heap[(i - 1) >> 1] > c:
                    heap[i] = heap[(i - 1) >> 1]
                    i = (i - 1) >> 1
                heap[i] = c
    return found


@in_place
def _arc(head: Ints, following: Ints, to: Ints, capacity: Ints, arcs: int, a: int, b: int, amount: int) -> int:
    to[arcs] = b
    capacity[arcs] = amount
    following[arcs] = head[a]
    head[a] = arcs
    to[arcs + 1] = a
    capacity[arcs + 1] = 0
    following[arcs + 1] = head[b]
    head[b] = arcs + 1
    return arcs + 2


@compiled
def _cut(head: Ints, following: Ints, to: Ints, capacity: Ints, source: int, sink: int, level: Ints) -> int:
    """Maximum flow (Dinic, 1970); afterwards ``level`` is >= 0 exactly on the source's side of the least cut."""
    nodes = head.shape[0]
    queue = np.empty(nodes, np.int64)
    current = np.empty(nodes, np.int64)
    path = np.empty(nodes + 1, np.int64)
    flow = 0
    while True:
        for v in range(nodes):
            level[v] = -1
            current[v] = head[v]
        level[source] = 0
        queue[0] = source
        begin = 0
        end = 1
        while begin < end:
            v = queue[begin]
            begin += 1
            arc = head[v]
            while arc >= 0:
                if capacity[arc] > 0 and level[to[arc]] < 0:
                    level[to[arc]] = level[v] + 1
                    queue[end] = to[arc]
                    end += 1
                arc = following[arc]
        if level[sink] < 0:
            return flow
        size = 0
        v = source
        while True:
            if v == sink:
                amount = _FOREVER
                for i in range(size):
                    amount = min(amount, capacity[path[i]])
                back = 0
                for i in range(size - 1, -1, -1):
                    capacity[path[i]] -= amount
                    capacity[path[i] ^ 1] += amount
                    if capacity[path[i]] == 0:
                        back = i
                flow += amount
                size = back
                v = to[path[back] ^ 1]
                continue
            arc = current[v]
            while arc >= 0 and (capacity[arc] == 0 or level[to[arc]] != level[v] + 1):
                arc = following[arc]
            current[v] = arc
            if arc >= 0:
                path[size] = arc
                size += 1
                v = to[arc]
                continue
            if size == 0:
                break
            size -= 1
            v = to[path[size] ^ 1]
            current[v] = following[current[v]]


@entry
def least_registers(
    first: Ints,
    operand: Ints,
    reader_first: Ints,
    reader: Ints,
    width: Ints,
    delay: Ints,
    period: float,
    last: int,
    stage: Ints,
    pairs: Ints,
) -> int:
    """Turns earliest stages into those of least register bits, nodes nobody reads in stage ``last``.

    Returns 0, or the number of timing constraints if ``pairs`` [n, 2] is too small for them.
    """
    nodes = delay.shape[0]
    late = np.empty(nodes, np.int64)
    _latest_stages(reader_first, reader, delay, period, last, late)
    long = _long_pairs(reader_first, reader, delay, period, stage, late, pairs)
    if long > pairs.shape[0]:
        return long
    fixed = np.zeros(nodes, np.int64)
    for v in range(nodes):
        if first[v] == first[v + 1]:
            fixed[v] = 1
        elif reader_first[v] == reader_first[v + 1]:
            stage[v] = last
            fixed[v] = 1
    # Flow nodes: v moves one stage later; nodes + v: the last reader of v does, one more register for v.
    source = 2 * nodes
    sink = source + 1
    room = 2 * (3 * nodes + 2 * reader.shape[0] + long)
    to = np.empty(room, np.int64)
    capacity = np.empty(room, np.int64)
    following = np.empty(room, np.int64)
    head = np.empty(2 * nodes + 2, np.int64)
    level = np.empty(2 * nodes + 2, np.int64)
    while True:
        for v in range(2 * nodes + 2):
            head[v] = -1
        arcs = 0
        gain = 0
        for v in range(nodes):
            if fixed[v] or stage[v] >= late[v]:
                arcs = _arc(head, following, to, capacity, arcs, v, sink, _FOREVER)
            elif width[v] > 0:
                arcs = _arc(head, following, to, capacity, arcs, source, v, width[v])
                gain += width[v]
            furthest = stage[v]
            for k in range(reader_first[v], reader_first[v + 1]):
                furthest = max(furthest, stage[reader[k]])
            if width[v] > 0 and furthest < last:
                arcs = _arc(head, following, to, capacity, arcs, nodes + v, sink, width[v])
            for k in range(reader_first[v], reader_first[v + 1]):
                c = reader[k]
                if stage[c] == stage[v]:
                    arcs = _arc(head, following, to, capacity, arcs, v, c, _FOREVER)
                if width[v] > 0 and stage[c] == furthest and furthest < last:
                    arcs = _arc(head, following, to, capacity, arcs, c, nodes + v, _FOREVER)
        for k in range(long):
            if stage[pairs[k, 1]] == stage[pairs[k, 0]] + 1:
                arcs = _arc(head, following, to, capacity, arcs, pairs[k, 0], pairs[k, 1], _FOREVER)
        if gain == 0 or _cut(head, following, to, capacity, source, sink, level) >= gain:
            return 0
        for v in range(nodes):
            if level[v] >= 0:
                stage[v] += 1
