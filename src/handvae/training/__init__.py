"""The one loop, its configuration, presets and checkpoints."""
