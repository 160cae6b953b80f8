"""A page to drop a picture on: what `funcam app` serves, and a Hugging Face Space."""

HINT = "the page needs Gradio, which isn't here: pip install 'funcam[app]'"
