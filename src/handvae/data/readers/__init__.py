"""Readers: one file for each data set layout."""
