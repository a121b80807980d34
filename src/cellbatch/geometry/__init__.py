"""Shapes, tiles and index maps: numbers in, numbers out."""
