"""Graphs of the three kinds that are edited here: Keras models, .tflite files and TensorFlow functions."""
