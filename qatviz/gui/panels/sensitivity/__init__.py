"""Panel with the sensitivity of the network to the quantization of each tensor."""
