"""Whether what was written computes what was seen: comparisons, reports, and the files that they go into."""
