"""Procedural hands: pictures with every label, from nothing but a seed."""
