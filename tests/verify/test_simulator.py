"""The harness against hand-written tops: correct ones of every port width, and one for every rule it checks."""

from __future__ import annotations

import numpy as np
import pytest

from qcompile.errors import CompileError
from qcompile.verify import verilator
from qcompile.verify.simulator import Deadlock, SimulationError

try:
    verilator.find_verilator()
    verilator.find_compiler()
except CompileError as error:
    pytest.skip(str(error), allow_module_level=True)

# Two register stages that invert every beat; frames of 3 beats. `@…@` are the holes that the faults fill.
TOP = """
module top(
  input aclk, input aresetn,
  input [@WIDTH@-1:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready, input s_axis_tlast,
  output [@WIDTH@-1:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready, output m_axis_tlast
);
  reg [@WIDTH@-1:0] first, second;
  reg first_valid, second_valid;
  reg [1:0] beat;
  reg [7:0] age;
  reg stuck;
  wire enable = !second_valid || m_axis_tready;
  assign s_axis_tready = @READY@;
  assign m_axis_tdata = @DATA@;
  assign m_axis_tvalid = @VALID@;
  assign m_axis_tlast = @LAST@;
  always @(posedge aclk) begin
    age <= age + 8'd1;
    if (age == 8'd12) stuck <= 1'b1;
    if (enable) begin
      first <= s_axis_tdata;
      second <= ~first;
      first_valid <= s_axis_tvalid && s_axis_tready;
      second_valid <= first_valid;
      if (m_axis_tvalid) beat <= beat == 2'd2 ? 2'd0 : beat + 2'd1;
    end
    if (!aresetn) begin
      first_valid <= 1'b0;
      second_valid <= 1'b0;
      beat <= 2'd0;
      age <= 8'd0;
      stuck <= 1'b0;
    end
  end
endmodule
"""
CORRECT = {"READY": "enable", "DATA": "second", "VALID": "second_valid", "LAST": "beat == 2'd2"}


def top(width=8, **holes):
    text = TOP.replace("@WIDTH@", str(width))
    for hole, value in {**CORRECT, **holes}.items():
        text = text.replace(f"@{hole}@", value)
    return {"top.v": text}


def simulator(width=8, **holes):
    return verilator.build(top(width, **holes), "top", in_width=width, out_width=width)


def frames_of(count, width=8, beats=3):
    rng = np.random.default_rng(width)
    frames = rng.integers(0, 256, (count, beats, -(-width // 8)), dtype=np.uint8)
    if width % 8:
        frames[..., -1] &= (1 << width % 8) - 1
    return frames


@pytest.mark.parametrize("width", [1, 8, 16, 24, 32, 40, 64, 72, 128, 136, 1000])
def test_every_port_width_passes_its_bytes_in_order(width):
    inputs = frames_of(20, width)
    run = simulator(width).run(inputs, out_beats=3, frames=20, seed=3)
    expected = ~inputs
    if width % 8:
        expected[..., -1] &= (1 << width % 8) - 1
    assert (run.outputs == expected).all()
    assert run.tlast_ok


def test_cycles_at_full_speed_are_those_of_the_design():
    run = simulator().run(frames_of(10), out_beats=3, frames=10, stall=0.0)
    assert (run.latency_cycles, run.frame_latency_cycles, run.ii_cycles) == (2, 4, 3)


def test_one_frame_has_no_initiation_interval():
    assert simulator().run(frames_of(1), out_beats=3, frames=1).ii_cycles is None


def test_the_same_seed_gives_the_same_run_and_another_seed_other_stalls():
    design, inputs = simulator(), frames_of(40)
    cycles = [design.run(inputs, out_beats=3, frames=40, seed=seed).cycles for seed in (1, 1, 2, 3)]
    assert cycles[0] == cycles[1]
    assert len(set(cycles)) > 1


def test_stalls_slow_the_stream_down_and_change_no_bit():
    design, inputs = simulator(), frames_of(50)
    for stall in (0.0, 0.1, 0.9):
        run = design.run(inputs, out_beats=3, frames=50, stall=stall)
        assert (run.outputs == ~inputs).all()
    assert run.cycles > 1000


def test_a_deadlock_says_how_many_beats_came_out():
    design = simulator(READY="enable && !stuck")
    with pytest.raises(Deadlock, match=r"no transfer for 500 cycles.*; \d+ of 30 output beats") as caught:
        design.run(frames_of(10), out_beats=3, frames=10, stall=0.0, timeout_cycles=500)
    assert 0 < caught.value.out_beats < 30


def test_a_beat_that_changes_while_it_waits_is_an_error():
    design = simulator(DATA="second ^ age")
    with pytest.raises(SimulationError, match=r"m_axis_tdata or m_axis_tlast changed .* in cycle \d+"):
        design.run(frames_of(20), out_beats=3, frames=20, stall=0.5)


def test_a_beat_that_vanishes_while_it_waits_is_an_error():
    design = simulator(VALID="second_valid && age[0]")
    with pytest.raises(SimulationError, match="fell before m_axis_tready"):
        design.run(frames_of(20), out_beats=3, frames=20, stall=0.5)


def test_a_surplus_beat_is_an_error():
    with pytest.raises(SimulationError, match="a beat came out after the last"):
        simulator().run(frames_of(5), out_beats=2, frames=5)


@pytest.mark.parametrize("last", ["beat == 2'd1", "1'b0", "1'b1"])
def test_a_misplaced_tlast_is_reported(last):
    run = simulator(LAST=last).run(frames_of(5), out_beats=3, frames=5)
    assert not run.tlast_ok
    assert (run.outputs == ~frames_of(5)).all()


def test_models_with_the_same_name_do_not_mix():
    plain, inverted = simulator(), simulator(DATA="~second")
    inputs = frames_of(5)
    assert (plain.run(inputs, out_beats=3, frames=5).outputs == ~inputs).all()
    assert (inverted.run(inputs, out_beats=3, frames=5).outputs == inputs).all()
    assert (plain.run(inputs, out_beats=3, frames=5).outputs == ~inputs).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": np.zeros((5, 3, 2), np.uint8)}, "inputs must be uint8"),
        ({"inputs": np.zeros((5, 3, 1), np.int8)}, "inputs must be uint8"),
        ({"frames": 4}, "inputs must be uint8"),
        ({"out_beats": 0}, "at least 1"),
        ({"stall": 1.0}, "below 1"),
    ],
)
def test_inputs_of_another_shape_raise(change, message):
    arguments = {"inputs": frames_of(5), "out_beats": 3, "frames": 5, **change}
    with pytest.raises(ValueError, match=message):
        simulator().run(arguments.pop("inputs"), **arguments)


def test_inputs_beyond_the_width_raise():
    with pytest.raises(ValueError, match="above bit 0"):
        simulator(1).run(np.full((1, 3, 1), 2, np.uint8), out_beats=3, frames=1)


def test_finish_in_the_design_is_an_error_and_not_the_end_of_the_process():
    design = simulator(LAST="beat == 2'd2;\n  always @(posedge aclk) if (age == 8'd30) $finish")
    with pytest.raises(SimulationError, match=r"\$finish at top\.v"):
        design.run(frames_of(50), out_beats=3, frames=50)


def test_a_trace_is_written_beside_the_build(tmp_path):
    design = verilator.build(top(), "top", in_width=8, out_width=8, work=tmp_path / "work", trace=True)
    design.run(frames_of(2), out_beats=3, frames=2)
    assert "m_axis_tdata" in (tmp_path / "work" / "trace.vcd").read_text()
    assert (tmp_path / "work" / "verilated" / "harness.cpp").exists()
