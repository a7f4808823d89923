"""What a JPEG file says of its pixels: tables, bounds of coefficients, chroma."""
