"""From pixels to the planes of a network and back: one way for every door."""
