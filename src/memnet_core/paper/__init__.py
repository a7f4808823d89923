"""What the paper shows of its networks, for any model: Figures 4, 5 and 6."""
