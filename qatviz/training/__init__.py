"""Training of a network: the TensorFlow graph, the loop, commands, checkpoints, and the handle of a run."""
