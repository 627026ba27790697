"""A network in float whose tensors are rounded by TensorFlow's fake-quant operations.

Graphs and files that simulate are written from it.
"""
