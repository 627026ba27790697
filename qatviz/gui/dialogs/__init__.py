"""Dialogs of the window, and their fields."""
