"""Rewrites of a traced graph that some methods need: guided ReLUs, attention made explicit, biases, no BatchNorm."""
