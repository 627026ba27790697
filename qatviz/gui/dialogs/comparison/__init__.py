"""The comparison of recorded runs."""
