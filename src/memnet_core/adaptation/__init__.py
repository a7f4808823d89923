"""Adapting a model to noisy data of one's own, of which nothing clean is known."""
