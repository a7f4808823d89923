"""Training images, samplers and degradations."""
