"""What is explained: a class, something about a class, boxes, masks, numbers, or any function of the outputs."""
