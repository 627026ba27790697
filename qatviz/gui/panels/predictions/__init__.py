"""Panel of the predictions in float and quantized."""
