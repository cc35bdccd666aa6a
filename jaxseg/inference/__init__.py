"""From an image to class probabilities and ids: frames, views, windows, protocols."""
