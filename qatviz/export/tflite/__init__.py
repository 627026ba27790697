"""Export to TFLite: integers for phones and microcontrollers, in TensorFlow's interpreter or in LiteRT."""
