"""Panel with the table of quantized tensors."""
