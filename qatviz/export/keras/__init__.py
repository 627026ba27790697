"""Export of the trained weights to a Keras model."""
