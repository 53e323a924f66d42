"""The Edge TPU rules, each with the public pairs that support and contradict it.

A memory rule is supported by a pair whose bytes are forecast exactly with it and not without it, and contradicted by
one that would be exact without it.  For a threshold, the values that agree with
all observations are given, and those that agree when the nearest one on either side is left out.  An operator rule is
supported by the operators that it keeps on the CPU and that the compiler left there, and contradicted by those that the
compiler mapped.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks import edgetpu_chains
from benchmarks.edgetpu_thresholds import THRESHOLDS, bounds, largest_layer_bounds, pair_file, truth
from tfcompress.converters.edgetpu import RULES, CompilerOptions, forecast
from tfcompress.converters.edgetpu.layout import kernel_bytes, padded
from tfcompress.converters.edgetpu.mapping import OperatorMapping
from tfcompress.converters.edgetpu.memory import ROOMS
from tfcompress.converters.edgetpu.versions import RUNTIMES

SECONDS = 300
PACKAGE = "tfcompress.converters.edgetpu"
# Compiled together with another model, and compiled from another revision: see tests/converters/edgetpu/test_pairs.py.
LEFT_OUT = ("hanchanghu-mobilenet_v2_1.0_224_inat_bird_quant.v3", "pinto0309-output_tflite_graph.v6")
LSTM = "gc-keras_lstm_mnist_ptq"
NEVER = 10**9
PUBLISHED = "figures that were published without their models: benchmarks/edgetpu_chains.json"
CHAINS = "three chains of Dense layers that were published with figures only: tests/converters/edgetpu/test_memory.py"
LOADS = ((2, 79), (2, 79), (3, 53))  # of these chains: loads for a layer, and layers that are cached
ROOM = "six public logs, listed in converters/edgetpu/memory.py: no pair of ../shared fills the room"


def _padded_before(outputs: int) -> int:
    return 16 if outputs <= 16 else 32 if outputs <= 32 else padded(outputs, 64)


def _whole(positions: int, channels: int) -> int:
    return kernel_bytes(positions, channels, positions * channels, 4)


def _only_own_scales(view: Any) -> int:
    kernel = view.input(1)
    return 4 if kernel is None or len(set(kernel.quantization.scales.tolist())) <= 1 else 8


Replacements = tuple[tuple[str, str, Any], ...]
_ONE_BYTE = 1 / 16  # a word that makes the padding of all tiles one byte
# {rule: (what it says, what stands in its place: (module, attribute, value)...)}
MEMORY: dict[str, tuple[str, Replacements]] = {
    "outputs_of_48": ("33 to 48 outputs are padded to 48, not to 64", (("layout", "padded_outputs", _padded_before),)),
    "words_of_all_tiles": (
        "pieces are padded to 64 bytes",
        (("layout", "WORD", _ONE_BYTE), ("parameters", "WORD", _ONE_BYTE)),
    ),
    "own_scales": (
        "outputs with scales of their own have 8 bytes, others 4",
        (("parameters", "_beside", lambda view: 4),),
    ),
    "own_bias": ("and 4 more where the bias is not zero", (("parameters", "_beside", _only_own_scales),)),
    "long_input": (
        "layers that read more than 8192 values at once are streamed",
        (("parameters", "_LONG_INPUT", NEVER),),
    ),
    "cropped_flattening": (
        "flattening leaves out inputs that no output of a block needs",
        (("flattening", "_cropped_bytes", _whole),),
    ),
    "pieces_of_flattening": (
        "one piece's matrix serves for all columns",
        (("flattening", "_piece", lambda channels: NEVER),),
    ),
    "joined_rows": ("joining the rows of an image takes 512 bytes", (("flattening", "_ROWS_BYTES", 0),)),
    "flat_from_the_host": (
        "an input of one channel needs no flattening",
        (("parameters", "_is_as_the_host_sent_it", lambda view: False),),
    ),
    "shifting": (
        "channels side by side are shifted where one part is no multiple of 4",
        (("parameters", "_shifting_bytes", lambda view: 0),),
    ),
    "unrolled_lstm": ("an LSTM has 992 bytes a step", (("parameters", "_LSTM_STEP_BYTES", 0),)),
    "zeros_of_lstm": (
        "the zeros that an LSTM's outputs are put into are streamed",
        (("parameters", "_sequence_bytes", lambda view: 0),),
    ),
    "dense_loads": ("of Dense layers no more than 159 loads are cached", (("memory", "_DENSE_LOADS", NEVER),)),
    "whole_layers": (
        "a layer is cached whole or streamed whole, with 7.75 MiB of room where nothing waits (138 published figures)",
        (("memory", "_ROOM_OF_CHAIN", NEVER),),
    ),
    "largest_layer": ("a layer of more than 7 MiB is streamed", (("memory", "LARGEST_LAYER", NEVER),)),
    "room": (
        "in networks with branches 7.3 MiB less what waits for a later operator are left for parameters",
        (("memory", "_ROOM", NEVER),),
    ),
    "pictures_of_compiler_1": (
        "the least that compiler 1 leaves is 8 MiB less three times what the largest operator reads and writes",
        (("memory", "_PICTURES", 0),),
    ),
}


def names() -> list[str]:
    """Every rule."""
    return [f"memory: {name}" for name in MEMORY] + [f"operators: {rule.name}" for rule in RULES]


def row(name: str) -> dict[str, Any]:
    """One rule against all pairs."""
    kind, rule = name.split(": ")
    facts = _memory_row(rule) if kind == "memory" else _operator_row(rule)
    supported, contradicted = facts["supporting"], facts["contradicting"]
    status = "failed" if contradicted else "ok" if supported else "partly"
    return {"status": status, "reason": None if supported else facts.pop("unseen", "in no pair"), **facts}


def _exact() -> set[str]:
    """The pairs whose cached and streamed bytes are forecast to the byte."""
    return {
        fact["name"]
        for fact in truth()
        if fact["name"] not in LEFT_OUT
        for mapping in (forecast(pair_file(fact["name"])),)
        if (mapping.on_chip_bytes, mapping.off_chip_bytes)
        == (fact["cached_parameter_bytes"], fact["streamed_parameter_bytes"])
    }


@contextlib.contextmanager
def _instead(replacements: Replacements) -> Iterator[None]:
    kept: list[tuple[object, str, Any]] = []
    for module_name, attribute, value in replacements:
        module = importlib.import_module(f"{PACKAGE}.{module_name}")
        kept.append((module, attribute, getattr(module, attribute)))
        setattr(module, attribute, value)
    try:
        yield
    finally:
        for owner, attribute, before in kept:
            setattr(owner, attribute, before)


def _memory_row(name: str) -> dict[str, Any]:
    what, replacements = MEMORY[name]
    with_rule = _exact()
    with _instead(replacements):
        without = _exact()
    supporting, contradicting = sorted(with_rule - without), sorted(without - with_rule)
    facts: dict[str, Any] = {
        "rule": what,
        "certainty": "observed",
        "supporting": len(supporting),
        "contradicting": len(contradicting),
        "supporting_pairs": supporting,
        "contradicting_pairs": contradicting,
    }
    more: dict[str, Callable[[], dict[str, Any]]] = {
        "long_input": lambda: _threshold(with_rule),
        "dense_loads": _loads,
        "room": _room,
        "pictures_of_compiler_1": _pictures,
        "largest_layer": lambda: {"unseen": PUBLISHED, **largest_layer_bounds()},
        "unrolled_lstm": lambda: _one_pair(replacements),
        "zeros_of_lstm": lambda: _one_pair(replacements),
        "whole_layers": _whole_layers,
    }
    return {**facts, **more[name]()} if name in more else facts


def _pictures() -> dict[str, Any]:
    """An end of an interval, not a rule: whether it holds the one figure, and the pairs of compiler 1."""
    old = [fact for fact in truth() if fact["min_runtime"] == RUNTIMES[1] and fact["name"] not in LEFT_OUT]
    mappings = [forecast(pair_file(fact["name"]), options=CompilerOptions(compiler=1)) for fact in old]
    within = [
        least <= fact["streamed_parameter_bytes"] <= most
        for fact, mapping in zip(old, mappings, strict=True)
        for least, most in (mapping.streamed_between or (mapping.off_chip_bytes or 0, mapping.off_chip_bytes or 0),)
    ]
    return {
        "certainty": "inferred",
        "unseen": "not explained: one chain of 75 convolutions streams 1,106,688 bytes that would fit; the interval"
        " holds it because its end was chosen for it, see converters/edgetpu/memory.py for the rules that were tried",
        "pairs_of_compiler_1": len(old),
        "within_the_interval": sum(within),
    }


def _loads() -> dict[str, Any]:
    """Limits of loads with which all chains agree, and those with which all but any one do."""

    def bounds(chains: Sequence[tuple[int, int]]) -> tuple[int, int]:
        return max(loads * layers for loads, layers in chains), min(
            loads * (layers + 1) - 1 for loads, layers in chains
        )

    rest = [bounds(LOADS[:left_out] + LOADS[left_out + 1 :]) for left_out in range(len(LOADS))]
    first, last = bounds(LOADS)
    return {
        "unseen": CHAINS,
        "agrees_from": first,
        "agrees_to": last,
        "left_out_from": min(least for least, _ in rest),
        "left_out_to": max(most for _, most in rest),
    }


def _one_pair(without: Replacements) -> dict[str, Any]:
    """How far the only pair with an LSTM is off when it is left out, which leaves nothing to fit the rule to."""
    fact = next(fact for fact in truth() if fact["name"] == LSTM)
    with _instead(without):
        mapping = forecast(pair_file(LSTM))
    real = fact["cached_parameter_bytes"] + fact["streamed_parameter_bytes"]
    foretold = (mapping.on_chip_bytes or 0) + (mapping.off_chip_bytes or 0)
    return {"left_out_pairs": 0, "left_out_error": round(abs(foretold / real - 1), 3)}


def _whole_layers() -> dict[str, Any]:
    """Published figures of chains, and how many are right with a room that was chosen on the other chains."""
    right = sum(map(edgetpu_chains.is_right, edgetpu_chains.FIGURES))
    others = edgetpu_chains.left_out().values()
    return {
        "unseen": PUBLISHED,
        "figures_right": right,
        "figures": len(edgetpu_chains.FIGURES),
        "left_out_figures_right": sum(count for _, count, _ in others),
    }


def _room() -> dict[str, Any]:
    """How far the logs are from the middle of what the other logs say."""
    errors = []
    for name, (room, waiting) in ROOMS.items():
        others = [sum(pair) for other, pair in ROOMS.items() if other != name]
        errors.append(abs(((min(others) + max(others)) / 2 - waiting) / room - 1))
    return {
        "unseen": ROOM,
        "left_out_median_error": round(statistics.median(errors), 3),
        "left_out_within_5_percent": sum(error <= 0.05 for error in errors) / len(errors),
    }


def _threshold(exact: set[str]) -> dict[str, Any]:
    """Values of `_LONG_INPUT` with which every exact pair stays exact, and what each bound is without its pair."""
    cached, streamed = _dense_inputs(exact)
    return {
        "agrees_from": cached[-1],
        "agrees_to": streamed[0] - 1,
        "left_out_from": cached[-2],
        "left_out_to": streamed[1] - 1,
    }


def _dense_inputs(exact: set[str]) -> tuple[list[int], list[int]]:
    """Numbers of inputs of the Dense layers that are cached, and of those that are streamed."""
    from tfcompress.converters.edgetpu.parameters import operator_bytes
    from tfcompress.converters.edgetpu.view import OperatorView
    from tfcompress.graphs.tflite import read_tflite

    cached: set[int] = set()
    streamed: set[int] = set()
    for name in exact:
        graph = read_tflite(pair_file(name)).main
        for view in (OperatorView(graph, operator) for operator in graph.operators):
            kernel = view.input(1)
            if view.operator.name == "FULLY_CONNECTED" and kernel is not None:
                (streamed if operator_bytes(view, compiler=16).streamed else cached).add(kernel.shape[-1])
    return sorted(cached), sorted(streamed)


@functools.cache
def _operators(name: str) -> tuple[OperatorMapping, ...]:
    return forecast(pair_file(name)).operators


def _operator_row(name: str) -> dict[str, Any]:
    rule = next(rule for rule in RULES if rule.name == name)
    supporting, contradicting, pairs = 0, 0, set()
    for fact in truth():
        on_cpu = set(fact["cpu_op_indices"])
        for operator in _operators(fact["name"]):
            if operator.rule == name:
                supporting += operator.index in on_cpu
                contradicting += operator.index not in on_cpu
                pairs.add(fact["name"])
    return {
        "rule": rule.why,
        "certainty": rule.certainty,
        "supporting": supporting,
        "contradicting": contradicting,
        "supporting_pairs": sorted(pairs),
        "contradicting_pairs": [],
        "unseen": f"in no pair of ../shared: {rule.source}",
        **(bounds(name) if name in THRESHOLDS else {}),
    }
