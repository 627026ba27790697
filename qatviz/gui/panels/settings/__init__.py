"""Panels that change settings of quantizers and of the run."""
