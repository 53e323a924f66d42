"""Where the error comes from: every Keras layer of the float model against the same layer in the artifact."""

from tfcompress.accuracy_diff.layers.diff import LayerDiff, compare_layers

__all__ = ["LayerDiff", "compare_layers"]
