"""Exports: an integer model of a trained network, independent of any format, and the formats written from it."""
