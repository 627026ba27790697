"""Bits within a budget: choice, reasons, and all evaluations by cost."""
