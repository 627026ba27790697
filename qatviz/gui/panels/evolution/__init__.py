"""The panel that draws the run over time."""
