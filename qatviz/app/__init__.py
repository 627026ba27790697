"""Application: its windows, and the threads that prepare runs for them."""
