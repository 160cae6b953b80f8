"""Many items through several stages at once, in order, each with its own error; flat in memory. No torch."""
