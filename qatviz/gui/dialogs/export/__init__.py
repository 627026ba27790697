"""Dialog that exports a run."""
