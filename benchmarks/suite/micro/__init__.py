"""The kernels, each alone."""
