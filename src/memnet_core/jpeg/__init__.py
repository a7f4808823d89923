"""JPEG: coding parameters, bounds of DCT coefficients, subsampled chroma, quality."""
