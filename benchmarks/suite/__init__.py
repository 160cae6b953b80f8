"""The benchmark suite: what funcam's maps cost in time and memory, beside the forward pass, the limit and the peers."""
