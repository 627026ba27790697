"""The drawing of a network: its layers, their layout, their texts."""
