"""What a run tells: events, step records, snapshots, their history in memory and their record on disk."""
