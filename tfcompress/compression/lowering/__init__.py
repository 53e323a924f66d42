"""Models rewritten into the layers that an int8 file computes one by one, with the same function."""
