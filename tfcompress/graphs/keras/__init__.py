"""Keras models as graphs of layer calls: reading, replaying, rewriting and folding them."""
