"""Training: configuration, samples, and the loop as a generator of events."""
