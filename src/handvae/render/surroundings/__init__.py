"""What lies around the hand: backgrounds, rooms, objects, and the camera's sensor."""
