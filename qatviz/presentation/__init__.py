"""Ticks, texts and scenes that window, report and terminal share, without Qt."""
