"""Models of one Keras version read or rebuilt by another, and the proof that both compute the same."""
