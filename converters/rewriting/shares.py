"""Shares that are taken through logarithms as the softmax that they are.

``exp(log_softmax(x))`` and ``exp(x - logsumexp(x))`` round the logarithms to 8 bits between; a mask's large number then
takes their whole range.  A softmax has one int8 kernel for all of it, and a mask before it is recognised as one.
"""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options

__all__ = ["softmax_of_logarithms"]


def softmax_of_logarithms(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """The softmax of what an exponential's logarithms were taken of; `operator` is the EXP."""
    logarithms = graph.producer(operator.source)
    if logarithms is None:
        return None
    source = logarithms.source if logarithms.name == "LOG_SOFTMAX" else _less_its_sum(graph, logarithms)
    if source is None:
        return None
    return [graph.operator("SOFTMAX", [source], [operator.result], options("SoftmaxOptions", beta=1.0))]


def _less_its_sum(graph: GraphEditor, difference: OperatorNode) -> TensorNode | None:
    """x of ``x - log(sum(exp(x)))`` and of ``x - (log(sum(exp(x - m))) + m)``, over the last axis; else None."""
    if not _is_plain(difference, "SUB"):
        return None
    source, total = difference.operands
    added = graph.producer(total)
    if added is not None and _is_plain(added, "ADD"):
        pairs = (added.operands, added.operands[::-1])
        return source if any(_is_log_of_sum(graph, log, source, shift) for log, shift in pairs) else None
    return source if _is_log_of_sum(graph, total, source, None) else None


def _is_plain(operator: OperatorNode, name: str) -> bool:
    """Whether it is an operator of two tensors, without an activation in it."""
    none = schema.ActivationFunctionType.NONE
    return operator.name == name and (operator.options is None or operator.options.fusedActivationFunction == none)


def _is_log_of_sum(graph: GraphEditor, tensor: TensorNode, source: TensorNode, shift: TensorNode | None) -> bool:
    """Whether a tensor is log(sum(exp(source - shift))) over the last axis, which stays with a size of 1."""
    log = graph.producer(tensor)
    total = graph.producer(log.source) if log is not None and log.name == "LOG" else None
    if total is None or total.name != "SUM" or not _is_over_rows(total):
        return False
    exponential = graph.producer(total.source)
    if exponential is None or exponential.name != "EXP":
        return False
    if shift is None:
        return exponential.source is source
    less = graph.producer(exponential.source)
    return less is not None and _is_plain(less, "SUB") and less.operands == [source, shift]


def _is_over_rows(total: OperatorNode) -> bool:
    axes, rank = total.constant(1), len(total.source.shape)
    return (
        axes is not None and axes.size == 1 and int(axes.reshape(-1)[0]) % rank == rank - 1 and total.options.keepDims
    )
