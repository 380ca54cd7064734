"""From RTL to a programmed board with open tools: synthesis, place and route, bitstream, and what they measured."""
