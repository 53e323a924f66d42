"""The cloud_tpu target, as the table of targets lists it."""

from __future__ import annotations

from pathlib import Path

from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.converters.forecast import Cost, Forecast
from tfcompress.converters.target import Facts, ReportRow, Step, Target, convert_in, litert_options
from tfcompress.errors import InputError
from tfcompress.recipe import Recipe

__all__ = ["CLOUD_TPU"]

_PRECISIONS = {
    "bfloat16": "bfloat16, 2 bytes per weight instead of 4",
    "mixed": "float32 weights, computed in bfloat16",
    "float32": "float32, as it was",
    "int8": "int8 products where the TPU compiler needs fewer cycles for them, 1 byte a weight",
    "fp8": "float8 products where the TPU compiler needs fewer cycles for them, 1 byte a weight",
    "auto": "int8, float8 or bfloat16, whichever the TPU compiler needs fewer cycles for",
}


def _depends_on(recipe: Recipe) -> Facts:
    return litert_options(recipe, CloudTpu) if _with_integers(recipe) else {CloudTpu.key: recipe.section(CloudTpu)}


def _with_integers(recipe: Recipe) -> bool:
    return recipe.section(CloudTpu).precision in ("int8", "auto")


def _inspect(path: Path, recipe: Recipe) -> Forecast:
    from tfcompress.converters.cloud_tpu.conversion import prove

    if path.suffix == ".tflite":
        raise InputError(f"--target=cloud_tpu: needs a SavedModel, got {path}")
    options = recipe.section(CloudTpu)
    rows = [row.to_json() for row in prove(path, options.topologies, sharding=options.sharding)]
    return Forecast("compile", rows, _costs({"compile": rows}))


def _costs(facts: Facts) -> tuple[Cost, ...]:
    costs = []
    for row in facts.get("compile") or ():
        if row["ok"] is None:
            continue
        where, source = _where(row), str(row["compiler_version"])
        seconds = _seconds(row)
        costs.append(Cost("latency_ms", None if seconds is None else 1000 * seconds, "compiled", source, where))
        costs.append(Cost("cycles", row["estimated_cycles"], "compiled", source, where))
        costs.append(Cost("hbm_bytes", row["hbm_bytes"], "compiled", source, where))
    return tuple(costs)


def _seconds(row: Facts) -> float | None:
    """One call's time: from the scheduler's cycles, else the compiler's lower bound."""
    estimated = row.get("estimated_seconds")
    return row.get("optimal_seconds") if estimated is None else estimated


def _refusal(facts: Facts) -> str | None:
    rows = facts.get("compile") or ()
    # What one chip cannot hold is no failure where several chips together can.
    fitting = {(row["topology"], row["batch_size"]) for row in rows if row["ok"] and row["sharding"]}
    refused = next(
        (row for row in rows if row["ok"] is False and (row["topology"], row["batch_size"]) not in fitting), None
    )
    if refused is None:
        return None
    return f"the TPU compiler refuses it for {_where(refused)}: {refused['error']}"


def _where(row: Facts) -> str:
    split = f", {row['sharding']} over {row['devices']}" if row.get("sharding") else ""
    return f"{row['topology']}, batch {row['batch_size']}{split}"


def _done(recipe: Facts) -> str | None:
    precision = (recipe.get("cloud_tpu") or {}).get("precision")
    return f"Cloud TPU: {_PRECISIONS[precision]}" if precision in _PRECISIONS else None


def _report_rows(facts: Facts) -> tuple[ReportRow, ...]:
    proofs = facts.get("compile") or []
    estimates = [row for row in proofs if _seconds(row) and not row.get("sharding")]
    rows = []
    if estimates:
        first = min(estimates, key=lambda row: row.get("batch_size") or 1)
        label = f"estimated on {first.get('topology')}, batch {first.get('batch_size') or '–'}"
        rows.append(ReportRow(label, 1000 * (_seconds(first) or 0), "milliseconds"))
    if proofs:
        rows.append(
            ReportRow("TPU compile proofs", f"{sum(bool(row.get('ok')) for row in proofs)} of {len(proofs)} ok")
        )
    return tuple(rows)


def _next_steps(facts: Facts) -> tuple[Step, ...]:
    del facts
    folder = '"$PWD/cloud_tpu/saved_model:/models/model"'
    return (
        Step(
            "Serve it; cloud_tpu/USE.md has the requests:",
            f"docker run -p 8501:8501 -v {folder} tensorflow/serving",
        ),
    )


def _tools() -> dict[str, str | None]:
    from tfcompress.cache.fingerprints import versions_of

    return versions_of(("libtpu", "jax", "jaxlib"))


CLOUD_TPU = Target(
    name="cloud_tpu",
    title="Cloud TPU",
    options=CloudTpu,
    convert=convert_in("tfcompress.converters.cloud_tpu.conversion"),
    depends_on=_depends_on,
    needs_calibration=lambda recipe: recipe.section(CloudTpu).precision in ("int8", "fp8", "auto"),
    # What computes in bfloat16 takes the trained weights without the integer simulation.
    takes_quantizers=_with_integers,
    inspect=_inspect,
    inspect_reads=("topologies", "sharding"),
    costs=_costs,
    refusal=_refusal,
    done=_done,
    report_rows=_report_rows,
    next_steps=_next_steps,
    tools=_tools,
)
