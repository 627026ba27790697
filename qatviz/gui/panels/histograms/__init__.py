"""Panel with a histogram for each quantized tensor."""
