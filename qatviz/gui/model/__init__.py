"""What the window shows, without widgets: the run, pending edits, exports under way, and how news reach them."""
