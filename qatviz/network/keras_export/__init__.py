"""From a network to Keras: a description of it as Keras writes models down, which is data and needs no TensorFlow.

The way back from :mod:`qatviz.network.keras_import`, for networks that never were a Keras model.
"""

from qatviz.network.keras_export.description import keras_description

__all__ = ["keras_description"]
