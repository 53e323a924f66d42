"""What each command does; imported only when one runs, as it brings TensorFlow."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tfcompress
from tfcompress import console, native_output
from tfcompress.cache import open_store, using
from tfcompress.cli import several
from tfcompress.cli.completion import completion_script
from tfcompress.cli.parser import CompletionOptions, build_parser
from tfcompress.converters import TARGETS
from tfcompress.data import open_data
from tfcompress.errors import ConversionError, InputError
from tfcompress.job.options import (
    CompressOptions,
    ConvertOptions,
    DemoOptions,
    DiffOptions,
    InspectOptions,
    PackOptions,
    UnpackOptions,
    VerifyOptions,
)
from tfcompress.load import LoadLimits, admit, admit_saved_model, inspect_tflite, trust
from tfcompress.plain_files import is_one_of
from tfcompress.recipe import Recipe
from tfcompress.recipe.options import options_of
from tfcompress.report import (
    DiffReport,
    Report,
    render_inspection,
    render_terminal,
    write_model_explorer,
    write_tensorboard,
)
from tfcompress.report.ci import render_junit, render_markdown
from tfcompress.report.schema import CompileSection, ConfigurationMapping, DeviceMapping
from tfcompress.search.folder import BEST
from tfcompress.search.options import SearchOptions
from tfcompress.typed_json import from_plain

if TYPE_CHECKING:
    from tfcompress.model import FloatModel  # with TensorFlow, which not every command needs

__all__ = ["completion", "compress", "convert", "demo", "diff", "inspect", "pack", "search", "unpack", "verify"]


def convert(options: ConvertOptions, parsed: argparse.Namespace) -> int:
    """``tfcompress convert``."""
    if len(parsed.several) == 1:
        return _finish(tfcompress.convert(**_fields(options)), parsed)
    fields = _fields(options)
    outcomes = several.convert_each(
        parsed.several,
        str(options.output),
        lambda model, output: tfcompress.convert(**{**fields, "model": model, "output": output}),
    )
    if parsed.json:
        _print_json({"models": [outcome.to_json() for outcome in outcomes]})
    else:
        _print(several.summary_table(outcomes))
    return several.exit_code_of(outcomes)


def completion(options: CompletionOptions, parsed: argparse.Namespace) -> int:
    """``tfcompress completion``."""
    del parsed
    _print(completion_script(build_parser(), options.shell))
    return 0


_SUMMARIES = ("junit_xml", "markdown")
_EXPORTS = {"model_explorer": write_model_explorer, "tensorboard": write_tensorboard}


def _write_summaries(report: Report | DiffReport, parsed: argparse.Namespace) -> None:
    """What ``--junit_xml``, ``--markdown``, ``--model_explorer`` and ``--tensorboard`` name."""
    asked = {flag: getattr(parsed, flag) for flag in (*_SUMMARIES, *_EXPORTS)}
    for flag, name in asked.items():
        if name is None:
            continue
        try:
            if flag in _EXPORTS:
                _EXPORTS[flag](report, name)
            else:
                strict = parsed.strict_gate
                text = render_junit(report, strict_gate=strict) if flag == "junit_xml" else render_markdown(report)
                Path(name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"--{flag}={name}: cannot be written: {error.strerror}") from None


def _finish(result: tfcompress.Conversion, parsed: argparse.Namespace) -> int:
    if parsed.json:
        _print_json(result.report)
    else:
        _print(render_terminal(result.result))
        _print(f"wrote {result.output}: report.html, report.json, manifest.json and a folder per target")
    return result.exit_code


def compress(options: CompressOptions, parsed: argparse.Namespace) -> int:
    """``tfcompress compress``."""
    facts = tfcompress.compress(**_fields(options))
    if parsed.json:
        _print_json(facts)
    else:
        for line in facts["notes"]:
            _print(line)
        _print(f"wrote {options.output}")
    return 0


def search(options: SearchOptions, parsed: argparse.Namespace) -> int:
    """``tfcompress search``."""
    result = tfcompress.search(**_fields(options))
    if parsed.json:
        _print_json(result.to_plain())
    else:
        for line in (*result.steps, *result.left_out):
            _print(line)
        _print(result.verdict)
        best = " and best/" if (Path(options.output) / BEST).is_dir() else ""
        _print(f"wrote {options.output}: search.html, pareto.json{best}")
    return int(result.exit_code)


def diff(options: DiffOptions, parsed: argparse.Namespace) -> int:
    """``tfcompress diff``."""
    for flag in (*_SUMMARIES, *_EXPORTS):
        name = getattr(parsed, flag)
        if name is not None and is_one_of(name, (options.reference, options.candidate, options.evaluation)):
            raise InputError(f"--{flag}={name}: is a file that is compared; choose another name")
    report = tfcompress.diff(**_fields(options))
    typed = DiffReport.from_plain(report)
    if parsed.json:
        _print_json(report)
    else:
        _print(render_terminal(typed))
    _write_summaries(typed, parsed)
    return typed.exit_code(strict_gate=options.strict_gate)


def inspect(options: InspectOptions, parsed: argparse.Namespace) -> int:
    """``tfcompress inspect``."""
    paths = [Path(name) for name in options.artifact]
    with using(open_store(options.cache_dir, no_cache=options.no_cache)):
        for path in paths if not options.edgetpu_log else ():
            _admit(path, options)
        facts = _inspected(paths[0], options) if len(paths) == 1 or options.edgetpu_log else _together(paths, options)
    if parsed.json:
        _print_json(facts)
    else:
        _print(render_inspection(_typed(facts)))
    return 0


def _admit(path: Path, options: InspectOptions) -> None:
    """Try an artifact before it is looked at; a model that is loaded goes through the same door there."""
    limits = LoadLimits(options.max_load_seconds, options.max_load_memory)
    if path.is_dir() and options.target is not None:
        if options.allow_unsafe_deserialization:
            trust(path)
        else:
            admit_saved_model(path, limits=limits)
    elif path.suffix in {".tflite", ".onnx"}:
        admit(path, run=False, limits=limits)


def _typed(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts with the parts that report.json has too as their dataclasses, where they have that form."""
    kinds = {"mapping": ConfigurationMapping, "compile": CompileSection}
    try:
        if "models" in facts:
            return {**facts, "models": [{**model, **_typed(model)} for model in facts["models"]]}
        for key, kind in kinds.items():
            if isinstance(facts.get(key), list):
                return {key: [from_plain(kind, row, key, gather=True) for row in facts[key]]}
        return {"mapping": from_plain(DeviceMapping, facts["mapping"], "mapping", gather=True)}
    except (KeyError, InputError):
        return facts


def _inspected(path: Path, options: InspectOptions) -> dict[str, object]:
    if options.edgetpu_log:
        from tfcompress.converters.edgetpu import parse_compiler_log

        return {"logs": [parse_compiler_log(log).to_json() for log in options.artifact]}
    inspect_there = None if options.target is None else TARGETS[options.target].inspect
    if inspect_there is not None:
        return dict(inspect_there(path, options.recipe or Recipe()).to_json())
    if path.suffix == ".tfcz":
        from tfcompress.converters.phone.packing.caged import described

        return described(path, limits=LoadLimits(options.max_load_seconds, options.max_load_memory))
    if path.suffix == ".tflite":
        return inspect_tflite(path)
    if options.target is not None:
        raise InputError(f"--target={options.target}: needs a .tflite, got {path}; convert the model first")
    model = tfcompress.load_model(
        path,
        custom_objects=options.custom_objects,
        allow_unsafe_deserialization=options.allow_unsafe_deserialization,
        max_load_seconds=options.max_load_seconds,
        max_load_memory=options.max_load_memory,
    )
    return {**tfcompress.inspect_model(model), "bit_widths": _bit_widths(model, options)}


def _together(paths: list[Path], options: InspectOptions) -> dict[str, object]:
    """Several files that share one device."""
    assert options.target is not None
    inspect_together = TARGETS[options.target].inspect_together
    assert inspect_together is not None  # `InspectOptions` has checked it
    return dict(inspect_together(paths, options.recipe or Recipe()))


def _bit_widths(model: FloatModel, options: InspectOptions) -> list[dict[str, object]] | None:
    """What 4, 8 and 16 bits keep of each layer; None where the model has no .tflite to look at."""
    from tfcompress.converters.litert import advise

    samples = None
    if options.calibration is not None:
        samples = open_data(
            options.calibration,
            model.inputs,
            model.outputs,
            flag="calibration",
            **options.reading,
        ).spread(options.calibration_samples)
    try:
        with native_output.silenced():
            return [row.to_json() for row in advise(model, samples)]
    except ConversionError as error:
        console.warn(f"no advice on bit widths: {error}")
        return None


def pack(options: PackOptions, parsed: argparse.Namespace) -> int:
    """``tfcompress pack``."""
    from tfcompress.converters.phone import packing

    facts = packing.pack(**_without_seed(options))
    if parsed.json:
        _print_json(facts)
    else:
        _print(
            f"wrote {options.output}: {facts['packed_bytes']:,} bytes to download for the {facts['bytes']:,} of "
            f"{options.model}; unpacked, it is that file again, of the same size, speed and memory"
        )
    return 0


def unpack(options: UnpackOptions, parsed: argparse.Namespace) -> int:
    """``tfcompress unpack``."""
    from tfcompress.converters.phone import packing

    facts = packing.unpack(**_without_seed(options))
    if parsed.json:
        _print_json(facts)
    else:
        _print(f"wrote {options.output}: {facts['bytes']:,} bytes, the same as were packed")
    return 0


def verify(options: VerifyOptions, parsed: argparse.Namespace) -> int:
    """``tfcompress verify``."""
    problems = tfcompress.verify(options.folder, public_key=options.public_key)
    if parsed.json:
        _print_json({"intact": not problems, "problems": problems})
    elif not problems:
        _print(f"{options.folder}: intact, every byte is as the manifest says")
    if problems:
        summary = "; ".join(problems[:20]) + (f"; and {len(problems) - 20} more" if len(problems) > 20 else "")
        raise InputError(f"{options.folder}: differs from its manifest: {summary}")
    return 0


def demo(options: DemoOptions, parsed: argparse.Namespace) -> int:
    """``tfcompress demo``."""
    from tfcompress.example_models.demo import run_demo

    return _finish(run_demo(Path(options.output), seed=options.seed), parsed)


def _fields(options: object) -> dict[str, Any]:
    """The options as keyword arguments; not `dataclasses.asdict`, which would take a recipe apart too."""
    return {item.name: getattr(options, item.name) for item in options_of(type(options))}


def _without_seed(options: object) -> dict[str, Any]:
    return {name: value for name, value in _fields(options).items() if name != "seed"}


def _print(what: Any) -> None:
    with native_output.results() as stream:
        console.SafeConsole(stream, soft_wrap=isinstance(what, str)).print(what)


def _print_json(value: object) -> None:
    with native_output.results() as stream:
        print(json.dumps(value, indent=2, allow_nan=False), file=stream)
