"""What a caller waits for, from one call to the whole program."""
