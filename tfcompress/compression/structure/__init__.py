"""Smaller models: fewer channels, lower ranks, fewer layers, and students."""
