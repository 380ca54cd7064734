"""Streams frames through a compiled simulation, with stalls on both sides, and checks the stream's rules."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

DRAIN_CYCLES = 64


class SimulationError(Exception):
    """The RTL broke a rule of its streams: a bug in whatever generated it. The text says what and when."""


class Deadlock(SimulationError):
    """Nothing moved for the allowed number of cycles; ``out_beats`` had come out before."""

    def __init__(self, message: str, out_beats: int) -> None:
        super().__init__(message)
        self.out_beats = out_beats


@dataclass(frozen=True)
class Run:
    """What came out, and when; cycles are those of ``aclk`` after reset.

    ``latency_cycles``: from the first frame's first accepted input beat until its first output beat is valid;
    ``frame_latency_cycles``: until its last one is. ``ii_cycles``: between the last beats of successive frames, the
    mean over the second half of the run, rounded up; None for a single frame. They are properties of the design
    only in a run without stalls.
    """

    outputs: Bytes
    latency_cycles: int
    frame_latency_cycles: int
    ii_cycles: int | None
    cycles: int
    tlast_ok: bool


class _Outcome(IntEnum):
    DONE = 0
    DEADLOCK = 1
    UNSTABLE = 2
    DROPPED = 3
    SURPLUS = 4
    EXCEPTION = 5


class _Job(ctypes.Structure):
    """The harness's ``Job``, field by field."""

    _fields_ = (
        ("inputs", ctypes.c_void_p),
        ("outputs", ctypes.c_void_p),
        ("first_accepted", ctypes.c_void_p),
        ("first_valid", ctypes.c_void_p),
        ("last_valid", ctypes.c_void_p),
        ("frames", ctypes.c_uint64),
        ("in_beats", ctypes.c_uint64),
        ("out_beats", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("stall", ctypes.c_uint64),
        ("idle_limit", ctypes.c_uint64),
        ("drain_cycles", ctypes.c_uint64),
        ("trace_path", ctypes.c_char_p),
        ("cycles", ctypes.c_uint64),
        ("beats_in", ctypes.c_uint64),
        ("beats_out", ctypes.c_uint64),
        ("tlast_errors", ctypes.c_uint64),
        ("error_cycle", ctypes.c_uint64),
        ("message", ctypes.c_char * 256),
    )


class Simulator:
    """A compiled design, loaded into this process. Every run starts from reset."""

    def __init__(self, library: Path, in_width: int, out_width: int, trace: Path | None = None) -> None:
        self.in_width = in_width
        self.out_width = out_width
        self._trace = trace
        self._stream = ctypes.CDLL(str(library)).qcompile_stream
        self._stream.argtypes = (ctypes.POINTER(_Job),)
        self._stream.restype = ctypes.c_int

    def run(
        self,
        inputs: Bytes,
        *,
        out_beats: int,
        frames: int,
        seed: int = 0,
        stall: float = 0.25,
        timeout_cycles: int | None = None,
    ) -> Run:
        """Sends ``inputs`` [frames, in_beats, bytes of TDATA, lowest first] and takes ``out_beats`` per frame.

        ``stall`` is the probability per cycle that an idle source holds back its next beat, and that the sink is
        not ready; the same ``seed`` gives the same stalls. `Deadlock` after ``timeout_cycles`` without a transfer
        (default: enough for several frames). SimulationError where a waiting beat changes or vanishes, or more
        beats come out than asked for. A misplaced TLAST is only reported.
        """
        in_bytes, out_bytes = -(-self.in_width // 8), -(-self.out_width // 8)
        if inputs.dtype != np.uint8 or inputs.ndim != 3 or inputs.shape[::2] != (frames, in_bytes):
            raise ValueError(f"inputs must be uint8 [{frames}, beats, {in_bytes}], not {inputs.dtype} {inputs.shape}")
        if frames < 1 or out_beats < 1 or inputs.shape[1] < 1:
            raise ValueError("frames, input beats and output beats must be at least 1")
        if not 0.0 <= stall < 1.0:
            raise ValueError(f"stall must be a probability below 1, not {stall}")
        unused = in_bytes * 8 - self.in_width
        if unused and int(inputs[..., -1].max()) >> (8 - unused):
            raise ValueError(f"inputs have bits above bit {self.in_width - 1}")

        inputs = np.ascontiguousarray(inputs)
        outputs = np.zeros((frames, out_beats, out_bytes), np.uint8)
        first_accepted, first_valid, last_valid = (np.zeros(frames, np.uint64) for _ in range(3))
        if timeout_cycles is None:
            timeout_cycles = int((1000 + 20 * (inputs.shape[1] + out_beats)) / (1.0 - stall))
        job = _Job(
            inputs=inputs.ctypes.data,
            outputs=outputs.ctypes.data,
            first_accepted=first_accepted.ctypes.data,
            first_valid=first_valid.ctypes.data,
            last_valid=last_valid.ctypes.data,
            frames=frames,
            in_beats=inputs.shape[1],
            out_beats=out_beats,
            seed=seed & (2**62 - 1),
            stall=int(stall * 2**32),
            idle_limit=timeout_cycles,
            drain_cycles=DRAIN_CYCLES,
            trace_path=None if self._trace is None else str(self._trace).encode(),
        )
        outcome = _Outcome(self._stream(ctypes.byref(job)))
        self._check(outcome, job, frames * out_beats)

        start = int(first_accepted[0])
        return Run(
            outputs=outputs,
            latency_cycles=int(first_valid[0]) - start,
            frame_latency_cycles=int(last_valid[0]) - start,
            ii_cycles=_steady_interval(last_valid),
            cycles=int(job.cycles),
            tlast_ok=job.tlast_errors == 0,
        )

    @staticmethod
    def _check(outcome: _Outcome, job: _Job, expected: int) -> None:
        progress = f"{job.beats_out} of {expected} output beats had come out, {job.beats_in} input beats had gone in"
        match outcome:
            case _Outcome.DONE:
                return
            case _Outcome.DEADLOCK:
                idle = f"no transfer for {job.idle_limit} cycles, in cycle {job.cycles}"
                raise Deadlock(f"deadlock: {idle}; {progress}", int(job.beats_out))
            case _Outcome.UNSTABLE:
                fault = "m_axis_tdata or m_axis_tlast changed while m_axis_tvalid waited for m_axis_tready"
            case _Outcome.DROPPED:
                fault = "m_axis_tvalid fell before m_axis_tready rose"
            case _Outcome.SURPLUS:
                fault = "a beat came out after the last"
            case _Outcome.EXCEPTION:
                raise SimulationError(f"the simulation stopped: {job.message.decode(errors='replace')}")
        raise SimulationError(f"{fault}, in cycle {job.error_cycle}; {progress}")


def _steady_interval(last_valid: npt.NDArray[np.uint64]) -> int | None:
    if len(last_valid) < 2:
        return None
    start = (len(last_valid) - 1) // 2
    span = int(last_valid[-1]) - int(last_valid[start])
    return -(-span // (len(last_valid) - 1 - start))
