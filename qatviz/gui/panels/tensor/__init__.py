"""Panel with all plots of the selected tensor."""
