"""The composition: run the model once, make what the methods are made of, apply them, smooth, combine layers."""
