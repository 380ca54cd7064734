"""From integer operations to datapath graphs."""
