"""The panel that shows the selected tensor in full."""
