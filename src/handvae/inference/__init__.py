"""From a photo to hands, and from a pose and an appearance to a picture: what the Python API is made of."""
