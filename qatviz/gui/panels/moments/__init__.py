"""Comparison of two moments of the run."""
