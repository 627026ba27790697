"""The trained weights back in a Keras model."""
