"""TensorFlow inference graphs: tracing, freezing and editing them."""
