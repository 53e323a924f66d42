"""From Keras layer patterns of a recipe to the tensors of a .tflite."""

from __future__ import annotations

from collections.abc import Collection

from tfcompress.errors import RecipeError
from tfcompress.graphs.tflite import TfliteFile
from tfcompress.layer_names import all_layers, as_named_in, layers_of, patterns_match
from tfcompress.model import FloatModel

__all__ = ["layers_by_tensor", "tensors_of_layers"]


def layers_by_tensor(model: FloatModel, file: TfliteFile) -> dict[int, tuple[str, ...]]:
    """{index of a computed tensor: names of the Keras layers fused into it, the last computed first}.

    Args:
        model: whose layers are meant; one without a Keras model has only the scopes in its tensors' names.
        file: the float .tflite; only its main graph is looked at.
    """
    graph, names = file.main, _layer_names(model, file)
    layer_names = as_named_in(names, (tensor.name for tensor in graph.tensors))
    # The converter gives an output of the model a name of its own; its layer has the name of the signature's output.
    last = {index: name for signature in file.signatures[:1] for name, index in signature.outputs.items()}
    computed = [index for operator in graph.operators for index in operator.outputs]
    return {
        index: layers_of(graph.tensors[index].name, layer_names) or tuple({last.get(index, "")} & set(names))
        for index in computed
    }


def tensors_of_layers(model: FloatModel, file: TfliteFile, patterns: Collection[str], key: str) -> tuple[str, ...]:
    """Output tensors of the operators that compute the layers a recipe names.

    Args:
        model: whose layers are meant; one without a Keras model has only the scopes in its tensors' names.
        file: the float .tflite.
        patterns: shell patterns over layer names.
        key: of the recipe, for messages.

    Raises:
        RecipeError: a pattern matches no layer.
    """
    if not patterns:
        return ()
    names = _layer_names(model, file)
    for pattern in patterns:
        if not any(patterns_match(name, [pattern]) for name in names):
            raise RecipeError(
                f"recipe: {key}: {pattern!r} matches no layer; the model has {', '.join(names[:12])}, ..."
            )
    return tuple(
        file.main.tensors[index].name
        for index, layers in layers_by_tensor(model, file).items()
        if any(patterns_match(layer, patterns) for layer in layers)
    )


def _layer_names(model: FloatModel, file: TfliteFile) -> list[str]:
    return [layer.name for layer in all_layers(model.keras_model)] or _scopes(file)


def _scopes(file: TfliteFile) -> list[str]:
    parts = (scope for tensor in file.main.tensors for part in tensor.name.split(";") for scope in part.split("/"))
    return list(dict.fromkeys(parts))
