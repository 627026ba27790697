"""What can be concluded from what a run told; needs neither TensorFlow nor a window."""
