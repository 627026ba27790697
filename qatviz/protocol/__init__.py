"""What window, record and trainer share: commands, events, snapshots and settings of a run. No TensorFlow, no Qt."""
