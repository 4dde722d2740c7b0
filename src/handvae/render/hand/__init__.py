"""The hand: its body, pose, surface and skin."""
