"""The panel with the table of quantized tensors."""
