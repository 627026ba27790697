"""Record of a run on disk."""
