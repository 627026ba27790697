"""Proof that an export computes what the evaluation computes: comparisons, reports, and writing their files."""
