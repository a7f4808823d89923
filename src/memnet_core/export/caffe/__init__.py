"""Import of Caffe networks."""
