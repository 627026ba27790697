"""Drawing of a network: layers, layout and texts."""
