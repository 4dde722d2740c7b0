"""Data sets in and out: `Hands`, readers, crops, augmentation, the loader, export."""
