"""Weight sharing: kernels with few distinct values."""
