"""Panel with the network on a chip."""
