"""Window that shows and steers a run, without TensorFlow: all it knows of a run reaches it as data."""
