"""A network's layers as TensorFlow operations: the forward pass of training, and that of exact evaluation."""
