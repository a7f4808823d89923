"""napari layers as sources and results."""
