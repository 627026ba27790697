"""The dialog that exports a run."""
