"""Gaussians become pixels here. Knows nothing of sound, files or people."""
