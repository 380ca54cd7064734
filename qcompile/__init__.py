"""qcompile: trained ONNX networks to verified, multiplier-free FPGA hardware."""
