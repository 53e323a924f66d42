"""Pruning: kernels with many zeros."""
