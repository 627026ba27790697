"""The panels of the window, one module each; no panel knows another."""
