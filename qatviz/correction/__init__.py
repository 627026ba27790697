"""Corrections of a network's parameters that make quantization cost less: the arithmetic, in NumPy.

:mod:`qatviz.training.corrections` applies them to a run.
"""
