"""Panel with the channels of all weights."""
