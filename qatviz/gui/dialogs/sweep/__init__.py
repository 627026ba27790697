"""Training of several runs from one checkpoint: A/B trials and sweeps."""
