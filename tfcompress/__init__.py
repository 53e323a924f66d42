"""tfcompress: Keras models to TFLite int8, Edge TPU and Cloud TPU, each proven against the float model."""
