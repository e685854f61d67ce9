"""Datasets of one's own: patches of images with their labels, cut, split, stored and described, and given to others."""
