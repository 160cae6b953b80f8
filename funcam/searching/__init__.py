"""The best recipe for a network: what `funcam evaluate` does."""
