"""The matrix of models: what is right for each, and what funcam makes of it (`python -m benchmarks models`)."""
