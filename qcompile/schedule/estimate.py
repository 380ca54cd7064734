"""What a design costs on a target: LUTs, flip-flops and block RAM of every component, estimated."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil, prod

from qcompile.ir import datapath, hardware
from qcompile.ir.graph import Node
from qcompile.schedule.cells import luts
from qcompile.schedule.design import Datapath, Design
from qcompile.schedule.trace import folded_scan, reorder_scan, window_scan
from qcompile.targets import BRAM18_BITS, Family, Target
from qcompile_hdl.fifo import StreamFifo
from qcompile_hdl.rom import in_block_ram
from qcompile_hdl.window_scan import WindowScan

_BLOCK_COST = 129  # LUTs that memory_libmap sets a block RAM equal to (techlibs/xilinx/brams_xcu.txt)
_BLOCK_WORTH = 64  # LUTs for which a block RAM is spent on a ROM (`qcompile_hdl.rom`)
_MERGED = {6: 0.1, 4: 0.5}  # more LUTs where two adders become a sum of three, by the LUT's inputs
_ROM_BITS = 1 << 14  # a registered table of at least that becomes block RAM
_LARGE_ROM = 128  # words; Yosys makes block RAM of ROMs of 320 words of 9 bits on ECP5, iCE40 and Gowin
_BLOCK_ROM = (Family.ULTRASCALE_PLUS, Family.SERIES_7)
_LUTS_PER_COUNTER_BIT = 1.8  # of the window's control: increment, comparison with the end, reset
_LUT_RAM = {Family.ULTRASCALE_PLUS: 64, Family.SERIES_7: 64, Family.ECP5: 16, Family.GOWIN: 16, Family.CYCLONE_V: 32}
_LUTS_PER_REGISTER_BIT = 0.6  # of a memory made of registers: write enables, and multiplexers of four-input LUTs


@dataclass(frozen=True)
class Cost:
    """Resources; ``adders`` counts adders and subtractors of any width, ``bram18`` units of 18 Kibit.

    Where the family's own blocks have another size, ``bram18`` is no whole number.
    """

    lut: float = 0.0
    ff: int = 0
    bram18: float = 0
    adders: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Cost)))


def total_cost(design: Design, target: Target) -> Cost:
    return sum(layer_costs(design, target).values(), Cost())


def layer_costs(design: Design, target: Target) -> dict[str, Cost]:
    """Estimated cost of every layer; the pins' register slices count under the layer "" (none)."""
    types = design.graph.types
    costs: dict[str, Cost] = {}
    for node in design.graph.nodes:
        op = node.op
        assert isinstance(op, hardware.HardwareOp)
        layer = op.layer if not isinstance(op, hardware.Input | hardware.Output) else ""
        own = _component(design, node, [types[name] for name in node.inputs], types[node.name], target)
        forks = max(0, len(design.graph.users[node.name]) - 1)
        costs[layer] = costs.get(layer, Cost()) + own + Cost(lut=2.0 * forks, ff=2 * forks)
    return costs


def _component(
    design: Design, node: Node, operands: list[hardware.Stream], result: hardware.Stream, target: Target
) -> Cost:
    match node.op:
        case hardware.Input():
            return _slice(result.width)
        case hardware.Output():
            return _slice(result.width + 1) + _counter(result.beats)
        case hardware.RegisterSlice():
            return _slice(result.width)
        case hardware.Fifo(depth=depth):
            memory = _memory if depth > StreamFifo.DISTRIBUTED_DEPTH else _asynchronous_memory
            return memory(depth, result.width, target) + Cost(lut=10, ff=3 * depth.bit_length())
        case hardware.Reorder():
            return _reorder(node.op, result.width, target)
        case hardware.Alternate(counts=counts):
            return Cost(lut=result.width * (len(counts) - 1) / 2) + _counter(sum(counts))
        case hardware.Collect(count=count):
            held = result.width + (result.width - operands[0].width)
            return Cost(lut=4.0, ff=held + 1) + _counter(count)
        case hardware.Distribute(count=count):
            return Cost(lut=operands[0].width / 2, ff=operands[0].width) + _counter(count)
        case hardware.SumBeats(count=count):
            return Cost(lut=float(result.width), ff=2 * result.width, adders=len(result.lanes)) + _counter(count)
        case hardware.SlidingWindow():
            return _window(node.op, operands[0], result, target)
        case hardware.Pipeline(datapath=name):
            return _datapath(design.datapaths[name], target)
        case hardware.FoldedWindow():
            return _folded_window(node.op, operands[0], target)
        case hardware.FoldedEngine():
            return _engine(design, node.op, operands, target)
        case hardware.FoldedAccumulate(folds=folds):
            sums = _asynchronous_memory(folds, result.width, target) if folds > 1 else Cost(ff=result.width)
            return sums + Cost(lut=float(result.width), ff=result.width, adders=len(result.lanes))
    raise TypeError(f"no cost for {node.op.mnemonic}")


def _slice(width: int) -> Cost:
    return Cost(lut=width + 3.0, ff=2 * width + 2)


def _counter(count: int) -> Cost:
    bits = max(count - 1, 1).bit_length()
    return Cost(lut=1.5 * bits, ff=bits)


def _memory(depth: int, width: int, target: Target) -> Cost:
    """A simple dual-port memory with registered reads: LUT RAM while that is the cheaper, else 18 Kibit blocks."""
    blocks = _bram18(depth, width, target)
    small = _LUT_RAM.get(target.family, 0)
    if small == 64:
        across = 14 if depth <= 32 else 7  # bits of a RAM32M16 and of a RAM64M8, eight LUTs each
        banks = ceil(depth / small)
        rams = banks * ceil(width / across) * 8
        if rams + 2 * width * (banks - 1) < _BLOCK_COST * blocks:
            return Cost(lut=rams + (1.0 + banks / 8 if banks > 1 else 0.0) * width, ff=width)
    elif small and depth <= 2 * small:
        return Cost(lut=ceil(depth / small) * width * 2.0, ff=width)
    return Cost(bram18=blocks)


def memory_in_blocks(depth: int, width: int, target: Target) -> bool:
    """Whether a memory with registered reads is block RAM, and not LUT RAM with registers behind it."""
    return _memory(depth, width, target).bram18 > 0


def rom_in_blocks(depth: int, width: int, target: Target) -> bool:
    """Whether a ROM becomes block RAM: as its Verilog asks; with LUTs of four inputs, earlier."""
    return in_block_ram(depth, width) or (target.lut_inputs == 4 and depth > _LARGE_ROM)


def _asynchronous_memory(depth: int, width: int, target: Target) -> Cost:
    """A memory that answers in the same cycle, which block RAM cannot: registers where there is no LUT RAM."""
    if target.family in _LUT_RAM:
        return _memory(depth, width, target)
    return Cost(lut=_LUTS_PER_REGISTER_BIT * depth * width, ff=depth * width)


def _bram18(depth: int, width: int, target: Target) -> float:
    """Block memory for ``depth`` words of ``width`` bits."""
    return target.memory.blocks(depth, width) * target.memory.bits / BRAM18_BITS


def _window(op: hardware.SlidingWindow, operand: hardware.Stream, result: hardware.Stream, target: Target) -> Cost:
    """Shift registers along each row of the kernel, the line memory, and the counters of scan and windows."""
    scan = window_scan(op)
    rows = op.window.kernel[0]
    counters = [scan.row_steps, scan.height, op.window.strides[0] * scan.row_steps, *scan.out_shape]
    cost = Cost(ff=rows * (scan.reach[1] + 1) * operand.width)
    if rows > 1:
        cost += _memory(scan.memory_depth, (rows - 1) * operand.width, target) + Cost(ff=operand.width)
        counters += [scan.memory_depth, scan.memory_depth]
    bits = sum(max(count - 1, 1).bit_length() for count in counters) + (4 if rows > 1 else 1)
    masked = _masked_taps(scan)
    cost += Cost(lut=float(masked * operand.width), ff=masked)
    return cost + Cost(lut=_LUTS_PER_COUNTER_BIT * bits, ff=bits)


def _masked_taps(scan: WindowScan) -> int:
    """Taps of the window that lie in the padding at some position: each bit of them is an AND with a flag."""
    sizes = (scan.height, scan.width)
    always = [
        sum(
            scan.pads[axis]
            <= tap * scan.dilation[axis]
            < sizes[axis] + scan.pads[axis] - (scan.out_shape[axis] - 1) * scan.stride[axis]
            for tap in range(scan.kernel[axis])
        )
        for axis in (0, 1)
    ]
    return prod(scan.kernel) - prod(always)


def _folded_window(op: hardware.FoldedWindow, operand: hardware.Stream, target: Target) -> Cost:
    scan = folded_scan(op)
    cost = _memory(scan.memory_words, operand.width, target) + Cost(lut=50, ff=120 + operand.width)
    return cost + (Cost(lut=float(operand.width)) if op.window.padded else Cost())


def _reorder(op: hardware.Reorder, width: int, target: Target) -> Cost:
    """The memory of beats, the ROM of a period, the two counters that hold back input and output."""
    scan = reorder_scan(op)
    bits = scan.memory_words.bit_length()
    entry = sum(max(column).bit_length() for column in (scan.places, scan.newly, scan.freed))
    rom = _rom(scan.period, entry, target) if entry and scan.period > 1 else Cost()
    return _memory(scan.memory_words, width, target) + rom + Cost(lut=8.0 * bits, ff=5 * bits)


def _engine(design: Design, op: hardware.FoldedEngine, operands: list[hardware.Stream], target: Target) -> Cost:
    """Both datapaths, the accumulators, the ROMs, and the memory that replays a vector."""
    cost = _datapath(design.datapaths[op.partial], target) + _datapath(design.datapaths[op.finish], target)
    if op.combine != "none":
        per_bit = 1.0 if op.combine == "add" else 1.5
        bits = sum(span.width for span in op.accumulators)
        cost += Cost(lut=per_bit * bits, ff=bits, adders=len(op.accumulators))
    for name in (op.weights, op.parameters):
        if name is not None:
            cost += _rom(len(design.memories[name].words), design.memories[name].width, target)
    if op.repeats > 1:
        width = sum(x.width for x in operands)
        cost += _memory(op.vector, width, target)
    roms = [len(design.memories[name].words) for name in (op.weights, op.parameters) if name is not None]
    counters = sum((count - 1).bit_length() for count in (op.vector, op.repeats, *roms))
    return cost + Cost(lut=10 + 1.5 * counters, ff=60)


def weighed(path: Datapath, depth: int, width: int, count: int, target: Target) -> float:
    """LUTs of one of ``count`` equal paths and of its part of their ROM, whose blocks count as LUTs too."""
    rom = _rom(depth, width * count, target)
    return _datapath(path, target).lut + (rom.lut + _BLOCK_WORTH * rom.bram18) / count


def _rom(depth: int, width: int, target: Target) -> Cost:
    if not rom_in_blocks(depth, width, target):
        # Four tables of 64 words and their multiplexer have no overhead; few words have few columns that differ.
        luts_per_bit = max(1.0, depth / 64 * (1.0 if depth <= 256 else 1.3))
        distinct = min(width, (1 << depth) // 2) if depth < 16 else width
        return Cost(lut=distinct * luts_per_bit, ff=distinct)
    return Cost(bram18=_bram18(depth, width, target))


def _datapath(path: Datapath, target: Target) -> Cost:
    types = path.graph.types
    lut, held, blocks = 2.0, path.registers + path.latency, 0.0
    free = _digits_in_adders(path) | _absorbed(path) | _multiplexed(path) if target.lut_inputs >= 6 else frozenset()
    for node in path.graph.nodes:
        if node.name in free:
            continue
        result = types[node.name]
        if isinstance(node.op, datapath.Lookup) and target.family in _BLOCK_ROM:
            inputs = types[node.inputs[0]].width
            if result.width << inputs >= _ROM_BITS and path.last_read[node.name] > path.stage_of[node.name]:
                blocks += _bram18(1 << inputs, result.width, target)  # the block's own output register is the first one
                held -= result.width
                continue
        own = luts(node, [types[i] for i in node.inputs], result, target)
        lut += own * (1 + _MERGED[target.lut_inputs]) if _merged(node, path) else own
    return Cost(lut=lut, ff=held, bram18=blocks, adders=path.adders)


def _digits_in_adders(path: Datapath) -> frozenset[str]:
    """Booth digits that fit the LUTs in front of a carry chain: five inputs a bit, and the bit they are added to."""
    found = set()
    for node in path.graph.nodes:
        if isinstance(node.op, datapath.ShiftAdd):
            digits = [
                name
                for name in node.inputs
                if isinstance(path.graph.by_name[name].op, datapath.BoothDigit)
                and len(path.graph.users[name]) == 1
                and path.last_read[name] == path.stage_of[name]
            ]
            found.update(digits[:1])
    return frozenset(found)


def _multiplexed(path: Datapath) -> frozenset[str]:
    """Choices that cost nothing: a LUT a bit chooses among four values, two and a multiplexer among eight."""
    depth: dict[str, int] = {}
    free: set[str] = set()
    for node in path.graph.nodes:
        own = path.stage_of[node.name]
        below = [depth.get(name, 0) for name in node.inputs if path.stage_of[name] == own]
        if isinstance(node.op, datapath.ShiftLeft):
            depth[node.name] = max(below, default=0)
        if not isinstance(node.op, datapath.Select):
            continue
        depth[node.name] = 1 + max(below, default=0)
        readers = [user for user in path.graph.users[node.name] if path.stage_of[user.name] == own]
        chosen = readers and all(isinstance(user.op, datapath.Select | datapath.ShiftLeft) for user in readers)
        inner = bool(chosen) and path.last_read[node.name] == own
        if depth[node.name] > 2 or (depth[node.name] == 1 and inner):
            free.add(node.name)
    return frozenset(free)


def _absorbed(path: Datapath) -> frozenset[str]:
    """Bits that fit the LUTs of what reads them: products that are counted, signs of a product that is held back."""
    found: set[str] = set()
    for node in path.graph.nodes:
        readers = {type(user.op) for user in path.graph.users[node.name]}
        match node.op:
            case datapath.Xnor() if readers <= {datapath.CountOnes, datapath.Select}:
                taken = True
            case datapath.Select() if path.graph.types[node.name].width == 1:
                taken = readers == {datapath.CountOnes}
            case _:
                continue
        if taken and readers and path.last_read[node.name] == path.stage_of[node.name]:
            found.add(node.name)
    return frozenset(found)


def _merged(node: Node, path: Datapath) -> bool:
    """Whether Yosys (`alumacc`) makes one sum of three operands of this adder and the only one that reads it.

    It saves a carry chain and spends a row of full adders, which fit small LUTs badly.
    """
    users = path.graph.users[node.name]
    return (
        isinstance(node.op, datapath.ShiftAdd)
        and len(users) == 1
        and isinstance(users[0].op, datapath.ShiftAdd)
        and path.last_read[node.name] == path.stage_of[node.name]
    )
