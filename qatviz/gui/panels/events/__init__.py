"""The panel that lists the events of a run."""
