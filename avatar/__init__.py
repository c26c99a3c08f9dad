"""Sound and portraits become Gaussians here. Arrays in, arrays out: no devices, windows or threads."""
