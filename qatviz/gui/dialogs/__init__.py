"""Windows that are open for one purpose."""
