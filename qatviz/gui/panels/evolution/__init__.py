"""Panel that draws the run over time."""
