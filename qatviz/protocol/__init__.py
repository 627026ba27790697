"""Data types shared by window, record and trainer: commands, events, snapshots, settings. No TensorFlow, no Qt."""
