"""Export to ONNX in float: the trained network without quantization, for tools that quantize it themselves."""
