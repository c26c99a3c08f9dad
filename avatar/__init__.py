"""Sound and portraits become Gaussians here: arrays in, arrays out, no devices or windows."""
