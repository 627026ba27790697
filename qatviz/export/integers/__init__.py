"""A trained, quantized network as integers, independent of any framework, and a simulator of it."""
