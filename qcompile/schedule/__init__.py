"""From the integer graph to streams: layers, engines, pipelining, FIFOs, and what they cost."""

from qcompile.schedule.choice import Choice, read_schedule, schedule_text
from qcompile.schedule.design import Datapath, Design, Layer, Memory
from qcompile.schedule.scheduler import schedule, schedule_fastest

__all__ = [
    "Choice",
    "Datapath",
    "Design",
    "Layer",
    "Memory",
    "read_schedule",
    "schedule",
    "schedule_fastest",
    "schedule_text",
]
