"""Operations on arrays of pixels: color, dtype, resizing, metrics."""
