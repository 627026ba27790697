"""Export to a folder for TFLite Micro."""
