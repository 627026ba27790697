"""The main window: its actions, docks and status bar."""
