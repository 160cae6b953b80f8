"""What `funcam batch` costs: time, memory, bytes, more workers, 100 million images."""
