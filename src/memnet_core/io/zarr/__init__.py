"""OME-Zarr images and collections."""
