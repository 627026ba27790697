"""Conclusions from the measurements of a run, without TensorFlow and Qt: verdicts, effects, pending settings."""
