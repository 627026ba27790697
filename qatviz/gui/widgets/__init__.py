"""Widgets that several panels and dialogs share, and their theme."""
