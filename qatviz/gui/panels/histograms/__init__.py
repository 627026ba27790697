"""The panel with a histogram for each quantized tensor."""
