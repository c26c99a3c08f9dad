"""The motion latent, what a face does for it, the life between words, and motion files."""
