"""README and check program beside every export: what goes in, what comes out, and how to test another runtime."""
