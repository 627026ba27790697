"""Panels of the window, a package each; no panel imports another."""
