"""Widgets derived from the declarations of settings."""
