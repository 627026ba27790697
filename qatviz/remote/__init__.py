"""Runs on another machine: a server of runs there, and handles of its runs here, over any stream of bytes."""
