"""The command line: what is typed, turned into runs, tables and JSON.

TensorFlow is imported by the training thread alone, so that everything but training answers at once.
"""

from qatviz.cli.entry import main

__all__ = ["main"]
