"""Writing data sets: a module a format, all of them streams; a folder appears under its name when it is
complete, or not at all."""
