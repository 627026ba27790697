"""Panel that shows the selected tensor in full."""
