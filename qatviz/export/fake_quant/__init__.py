"""A network in float with fake-quant operations, for graphs and files that simulate quantization."""
