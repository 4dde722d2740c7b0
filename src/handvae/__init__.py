"""Labelled pictures of hands, and hands read from pictures, with disentangled variational autoencoders."""

__version__ = "0.1.0"
