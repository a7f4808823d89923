"""What all image formats share."""
