"""Panel that lists the events of a run."""
