"""The window: shows a run and steers it. No TensorFlow here; what a run is made of reaches it as data."""
