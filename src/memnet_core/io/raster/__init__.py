"""PNG, JPEG, WebP, GIF, BMP and their kin."""
