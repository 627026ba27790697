"""The application: the one place that knows the window, the command line and what trains."""
