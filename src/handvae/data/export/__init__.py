"""Writing data sets: one module for each format, all of them streams."""
