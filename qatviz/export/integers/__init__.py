"""A trained, quantized network as integers, apart from any framework, and a simulator of it."""
