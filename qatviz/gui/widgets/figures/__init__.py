"""Copies of plots and tables on the clipboard and in files."""
