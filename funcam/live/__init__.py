"""A page to drop a picture on: what `funcam app` serves, and a Hugging Face Space."""
