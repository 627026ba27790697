"""Scales and offsets of all tensors, in AIMET's form."""
