"""Codes to TDATA bytes and back: lane k of a beat lies above lane k - 1, two's complement, padded to whole bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qcompile.ir.hardware import Stream


def pack(codes: npt.NDArray[Any], stream: Stream) -> npt.NDArray[np.uint8]:
    """uint8 ``[frames, beats, bytes]`` of integer codes ``[frames, ...]`` whose row-major order is beat by beat."""
    frames = len(codes)
    beats = codes.reshape(frames, stream.beats, len(stream.lanes))
    bits = np.zeros((frames, stream.beats, -(-stream.width // 8) * 8), np.uint8)
    place = 0
    for lane, span in enumerate(stream.lanes):
        shifts = np.arange(span.width)
        values = beats[:, :, lane].astype(np.int64)
        bits[:, :, place : place + span.width] = (values[:, :, None] >> shifts) & 1
        place += span.width
    return np.packbits(bits, axis=2, bitorder="little")


def unpack(raw: npt.NDArray[np.uint8], stream: Stream) -> npt.NDArray[np.int64]:
    """The codes int64 ``[frames, beats, lanes]`` of bytes as `pack` makes them."""
    bits = np.unpackbits(raw, axis=2, bitorder="little")
    codes = np.zeros((*raw.shape[:2], len(stream.lanes)), np.int64)
    place = 0
    for lane, span in enumerate(stream.lanes):
        part = bits[:, :, place : place + span.width].astype(np.int64)
        weights = np.int64(1) << np.arange(span.width)
        if span.signed:
            weights[-1] = -weights[-1]
        codes[:, :, lane] = part @ weights
        place += span.width
    return codes
