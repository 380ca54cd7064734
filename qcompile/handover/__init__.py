"""What a hardware team receives with the RTL: testbenches, drivers, IP descriptions, scripts and a data sheet.

Every text is rendered from one `Block`, the facts about the interface.
"""

from qcompile.handover.block import Block, describe, fingerprint
from qcompile.handover.codec import Codec, codec
from qcompile.handover.folder import driver_files, handover_files, vector_files, with_stream_pins
from qcompile.handover.ports import Bus

__all__ = [
    "Block",
    "Bus",
    "Codec",
    "codec",
    "describe",
    "driver_files",
    "fingerprint",
    "handover_files",
    "vector_files",
    "with_stream_pins",
]
