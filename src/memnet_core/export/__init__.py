"""Import of weights from other programs, and export to them."""
