"""Pixels in, pictures out: reading, fitting onto a network's input, drawing. No torch."""
