"""All integers as NumPy arrays with a description, and a reader that validates both."""
