"""State of the window without widgets: the run, pending edits, running exports, and the timers that update them."""
