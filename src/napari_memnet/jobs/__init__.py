"""Background work of the plugin."""
