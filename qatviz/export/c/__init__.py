"""Export to C99: a model's integers and operations as source, with a reference runtime."""
