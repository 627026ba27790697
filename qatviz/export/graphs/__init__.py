"""TensorFlow inference graphs: SavedModel and frozen."""
