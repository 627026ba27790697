"""Panel with the errors of each layer, own and inherited, and its feature maps."""
