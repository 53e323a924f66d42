"""The smallest file that gives the identical .tflite back: see FORMAT.md."""
