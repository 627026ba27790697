"""Main window: its actions, docks and status bar."""
