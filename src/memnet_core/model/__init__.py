"""Networks, their evaluation form, and the files that hold them."""
