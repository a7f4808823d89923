"""The dock widgets of the plugin."""
