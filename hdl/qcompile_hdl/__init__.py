"""Hardware components around the datapaths of a network: streams, buffers, windows, AXI. Complete and
parameterised.

Every stream is valid/ready with one flat unsigned payload. A *beat* is all channels of one spatial position,
lowest lane first; a *frame* is a fixed number of beats, which each component counts by itself. Nothing here
knows ONNX.
"""

from .accumulate import Accumulate, Lane
from .fifo import StreamFifo
from .folded_accumulate import FoldedAccumulate
from .folded_engine import Datapath, FoldedEngine
from .folded_scan import FoldedScan
from .folded_window import FoldedWindow
from .pipeline import StallPipeline
from .reorder import Alternate, Reorder
from .reorder_scan import ReorderScan
from .reshape import Collect, Distribute
from .rom import rom_verilog
from .streams import Fork, Join, RegisterSlice
from .top import IDENT, REGISTERS, NetworkTop
from .uart import UartReceiver, UartTransmitter
from .uart_host import Answer, SampleBuffer, UartHost
from .verilog import to_verilog
from .window import Window
from .window_scan import WindowScan

__all__ = [
    "IDENT",
    "REGISTERS",
    "Accumulate",
    "Alternate",
    "Answer",
    "Collect",
    "Datapath",
    "Distribute",
    "FoldedAccumulate",
    "FoldedEngine",
    "FoldedScan",
    "FoldedWindow",
    "Fork",
    "Join",
    "Lane",
    "NetworkTop",
    "RegisterSlice",
    "Reorder",
    "ReorderScan",
    "SampleBuffer",
    "StallPipeline",
    "StreamFifo",
    "UartHost",
    "UartReceiver",
    "UartTransmitter",
    "Window",
    "WindowScan",
    "rom_verilog",
    "to_verilog",
]
