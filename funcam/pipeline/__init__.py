"""The main job on one image, from a file to pictures of why."""
