"""Figures: copying plots and saving them to files."""
