"""Memory, multiplications and time of a network on a microcontroller or a phone core."""
