"""Labels for your own pictures."""
