"""The panel that draws the network's graph, colored by a measure."""
