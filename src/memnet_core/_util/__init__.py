"""Helpers without a subject of the package: files, locks, text, devices."""
