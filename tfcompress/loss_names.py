"""The losses of Keras that a recipe may name: the values of ``training.loss``."""

from __future__ import annotations

__all__ = ["LOSSES"]

_FUNCTIONS = """
binary_crossentropy binary_focal_crossentropy categorical_crossentropy categorical_focal_crossentropy categorical_hinge
cosine_similarity hinge huber kl_divergence kld kullback_leibler_divergence log_cosh logcosh mae mape
mean_absolute_error mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error mse msle poisson
sparse_categorical_crossentropy squared_hinge
"""
_CLASSES = """
BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalHinge
CosineSimilarity Hinge Huber KLD KLDivergence LogCosh MAE MAPE MSE MSLE MeanAbsoluteError MeanAbsolutePercentageError
MeanSquaredError MeanSquaredLogarithmicError Poisson SparseCategoricalCrossentropy SquaredHinge
"""
LOSSES = (*_FUNCTIONS.split(), *_CLASSES.split())
"""All the names in ``tf_keras.losses`` that stand for a loss."""
