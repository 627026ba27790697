"""Transport of events, step records and snapshots, their history in memory and their record on disk."""
