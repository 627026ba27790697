"""The dialog that begins a new run."""
