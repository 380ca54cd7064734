"""From the integer graph to streams: layers, engines, pipelining, FIFOs, and what they cost."""

from qcompile.schedule.design import Datapath, Design, Layer, Memory
from qcompile.schedule.scheduler import schedule, schedule_fastest

__all__ = ["Datapath", "Design", "Layer", "Memory", "schedule", "schedule_fastest"]
