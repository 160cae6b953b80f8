"""Figures of a data set with their intervals, by resampling its images."""
