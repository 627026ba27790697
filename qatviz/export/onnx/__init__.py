"""Export to ONNX, with codes between QuantizeLinear and DequantizeLinear."""
