"""Export of the scales and offsets of all tensors, as encodings in AIMET's form."""
