"""What a hardware team receives with the RTL: testbenches, drivers, IP descriptions, scripts and a data sheet.

Every text is rendered from one `Block`, the facts about the interface.
"""

from qcompile.handover.block import Block, Bus, describe
from qcompile.handover.folder import handover_files, vector_files

__all__ = ["Block", "Bus", "describe", "handover_files", "vector_files"]
