"""From a network to a run: the TensorFlow graph, the loop, commands, checkpoints, and the handle that others hold."""
