"""Sound to motion: features, the streaming network, what it says, and the generator around it."""
