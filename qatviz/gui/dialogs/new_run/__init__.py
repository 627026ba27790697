"""Dialog that starts a new run."""
