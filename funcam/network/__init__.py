"""A model as a graph: traced or exported, cut into features and head, rewritten for what some methods need."""
