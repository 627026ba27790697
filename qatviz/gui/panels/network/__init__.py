"""Panel that draws the network's graph, coloured by a measure."""
