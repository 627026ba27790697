"""Float network with fake-quant operations, for graphs and files that simulate quantization."""
