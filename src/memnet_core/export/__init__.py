"""Models from and for other programs: import and export."""
