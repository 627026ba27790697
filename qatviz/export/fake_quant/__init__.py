"""A network in float whose tensors are rounded by TensorFlow's fake-quant operations, for graphs and files that
simulate quantization.
"""
