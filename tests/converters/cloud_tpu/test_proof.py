"""The compile proof: rows, the cache, and every way in which a compiler can fail."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.converters.cloud_tpu import models
from tfcompress.cache import Store, using
from tfcompress.converters.cloud_tpu import proof, prove
from tfcompress.converters.cloud_tpu.precision import apply_precision
from tfcompress.converters.cloud_tpu.proof import CompileRow, compile_all
from tfcompress.converters.cloud_tpu.saved_model import write_saved_model
from tfcompress.converters.cloud_tpu.stablehlo import Lowered, lower_graph, lower_saved_model
from tfcompress.errors import ModelError, RecipeError
from tfcompress.graphs.tensorflow.inference_graph import trace
from tfcompress.runtime import tf

ONE_MODULE = [Lowered("batch_1", 1, b"not compiled in these tests")]
GOOD_REPLY = {
    "ok": True,
    "error": None,
    "stats": {"peak_memory_in_bytes": 1000, "argument_size_in_bytes": 400},
    "cost": {"flops": 7.0, "bytes accessed": 9.0, "optimal_seconds": -0.5},
}

needs_compiler = pytest.mark.skipif(proof.compiler_version() is None, reason="libtpu is not installed")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path) -> Iterator[None]:
    with using(Store(tmp_path / "cache")):
        yield


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a script in the place of the TPU compiler; it leaves a line in the returned file each time it runs."""
    monkeypatch.setattr(proof, "compiler_version", lambda: "libtpu 0, jaxlib 0")

    def install(body: str) -> Path:
        log = tmp_path / "runs"
        script = f"""
            import json, os, signal, sys, time
            request = json.load(open(sys.argv[1]))
            open({str(log)!r}, "a").write("run\\n")
            def say(module, **reply):
                open(module["hlo_path"], "w").write("ENTRY %main () -> f32[] {{\\n}}\\n")
                with open(request["reply"], "a") as file:
                    file.write(json.dumps({{"id": module["id"], **reply}}) + "\\n")
            good = json.loads({json.dumps(json.dumps(GOOD_REPLY))})
        """
        path = tmp_path / "worker.py"
        path.write_text(textwrap.dedent(script) + textwrap.dedent(body), encoding="utf-8")
        monkeypatch.setattr(proof, "WORKER", path)
        return log

    return install


def only(rows: list[CompileRow]) -> CompileRow:
    (row,) = rows
    return row


def test_a_negative_estimate_is_unknown_and_other_figures_are_kept(worker: Callable[[str], Path]) -> None:
    worker("say(request['modules'][0], **good)")
    row = only(compile_all(ONE_MODULE, ["v5e:2x2"]))
    assert row.ok
    assert (row.flops, row.bytes_accessed, row.optimal_seconds, row.hbm_bytes) == (7.0, 9.0, None, 1000)
    assert row.hbm_limit_bytes == 16 * 2**30


def test_a_result_is_compiled_once_and_another_topology_is_another_result(worker: Callable[[str], Path]) -> None:
    runs = worker("say(request['modules'][0], **good)")
    first = compile_all(ONE_MODULE, ["v5e:2x2"])
    assert compile_all(ONE_MODULE, ["v5e:2x2"]) == first
    assert len(runs.read_text().splitlines()) == 1
    compile_all(ONE_MODULE, ["v6e:1x1"])
    assert len(runs.read_text().splitlines()) == 2


def test_a_damaged_cache_entry_is_compiled_again(worker: Callable[[str], Path], tmp_path: Path) -> None:
    runs = worker("say(request['modules'][0], **good)")
    compile_all(ONE_MODULE, ["v5e:2x2"])
    (entry,) = (tmp_path / "cache").glob("*/*")
    entry.write_text("{", encoding="utf-8")
    assert only(compile_all(ONE_MODULE, ["v5e:2x2"])).ok
    assert len(runs.read_text().splitlines()) == 2


def test_a_cache_that_cannot_be_written_is_no_error(worker: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder", encoding="utf-8")
    worker("say(request['modules'][0], **good)")
    assert only(compile_all(ONE_MODULE, ["v5e:2x2"])).ok


def test_a_compiler_killed_in_the_middle_keeps_what_was_done_and_is_not_remembered(
    worker: Callable[[str], Path],
) -> None:
    worker("say(request['modules'][0], **good); os.kill(os.getpid(), signal.SIGKILL)")
    two = [*ONE_MODULE, Lowered("batch_8", 8, b"another")]
    first, second = compile_all(two, ["v5e:2x2"])
    assert first.ok
    assert not second.ok
    assert second.error == "the TPU compiler was killed by signal 9"
    worker("[say(module, **good) for module in request['modules']]")
    assert all(row.ok for row in compile_all(two, ["v5e:2x2"]))


def test_a_compiler_that_hangs_is_stopped(worker: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "SECONDS_PER_MODULE", 1)
    worker("time.sleep(600)")
    row = only(compile_all(ONE_MODULE, ["v5e:2x2"]))
    assert (row.ok, row.error) == (False, "the TPU compiler took more than 1 s and was stopped")


def test_a_compiler_that_ends_without_an_answer_is_reported(worker: Callable[[str], Path]) -> None:
    worker("sys.exit(3)")
    assert only(compile_all(ONE_MODULE, ["v5e:2x2"])).error == "the TPU compiler ended with exit code 3"


def test_more_memory_than_the_chip_has_is_no_proof(worker: Callable[[str], Path]) -> None:
    worker("good['stats']['peak_memory_in_bytes'] = 17 * 2**30\nsay(request['modules'][0], **good)")
    row = only(compile_all(ONE_MODULE, ["v5e:2x2"]))
    assert row.ok is False
    assert "use a smaller batch" in str(row.error)


def test_an_error_names_the_keras_layer_that_it_speaks_of(worker: Callable[[str], Path]) -> None:
    worker("say(request['modules'][0], ok=False, error='bad op_name=\"model/conv_7/Conv2D\"', stats={}, cost={})")
    row = only(compile_all(ONE_MODULE, ["v5e:2x2"], ["conv_7"]))
    assert str(row.error).startswith("Keras layer 'conv_7': ")


def test_without_the_compiler_nothing_is_proven_and_the_pip_command_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "compiler_version", lambda: None)
    row = only(compile_all(ONE_MODULE, ["v5e:2x2"]))
    assert row.ok is None
    assert "not proven" in str(row.error)
    assert "pip install 'tfcompress[tpu]'" in str(row.error)


@pytest.mark.parametrize("topology", ["v9:2x2", "v5e", "v5e:", "v5e:2", "v5e:0x1", "v5e:2xa"])
def test_a_misspelt_topology_is_an_error_before_any_work(topology: str) -> None:
    with pytest.raises(RecipeError, match=r"is no topology, expected CHIP:XxY"):
        compile_all(ONE_MODULE, [topology])


def test_a_folder_without_a_saved_model_is_one_error_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a folder without saved_model\.pb"):
        prove(tmp_path, ["v5e:2x2"])


def test_a_signature_with_open_sizes_is_refused_in_one_line(tmp_path: Path) -> None:
    module = tf.Module()
    module.f = tf.function(lambda x: x * 2, input_signature=[tf.TensorSpec([None, None], name="x")])
    tf.saved_model.save(module, str(tmp_path / "open"), signatures=module.f)
    row = only(prove(tmp_path / "open", ["v5e:2x2"], batch_sizes=(1,)))
    assert row.ok is False
    assert str(row.error).startswith("dynamic shape: input 'x' is (None, None)")


def test_what_is_compiled_is_kept_at_once_so_that_a_killed_proof_loses_nothing(
    worker: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = worker("say(request['modules'][0], **good); time.sleep(600)")
    kept: list[str] = []
    put = Store.put

    def put_and_interrupt(store: Store, key: str, content: bytes) -> None:
        put(store, key, content)
        kept.append(key)
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "put", put_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        compile_all(ONE_MODULE, ["v5e:2x2"])
    monkeypatch.setattr(Store, "put", put)
    assert only(compile_all(ONE_MODULE, ["v5e:2x2"])).ok
    assert len(kept) == len(runs.read_text().splitlines()) == 1


def saved(folder: Path, **signatures: Any) -> Path:
    """A SavedModel with these functions as signatures."""
    module = tf.Module()
    for name, function in signatures.items():
        setattr(module, name, function)
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def test_every_signature_is_shown_also_beside_one_of_a_fixed_batch(tmp_path: Path) -> None:
    fixed, opened = tf.TensorSpec([4, 3], name="x"), tf.TensorSpec([None, 3], name="x")
    folder = saved(
        tmp_path / "m",
        fixed=tf.function(lambda x: {"y": x * 2}, input_signature=[fixed]),
        serving_default=tf.function(lambda x: {"y": x * 3}, input_signature=[opened]),
        other=tf.function(lambda x: {"y": x * 4}, input_signature=[opened]),
    )
    lowered = lower_saved_model(folder, (1, 2))
    assert sorted((program.signature, program.batch_size) for program in lowered) == [
        ("fixed", 4), ("other", 1), ("other", 2), ("serving_default", 1), ("serving_default", 2),
    ]  # fmt: skip


@pytest.mark.parametrize("make", [models.conv_net, models.transformer])
def test_a_graph_and_the_saved_model_of_it_are_one_program_to_the_compiler(
    make: Callable[[], Any], tmp_path: Path
) -> None:
    graph = trace(make(), 2)
    write_saved_model([graph], tmp_path / "1")
    modules = {module.signature: module for module in lower_saved_model(tmp_path / "1", [2])}
    assert modules["batch_2"].artifact == lower_graph(graph, freeze=False)
    assert modules["batch_2"].artifact != lower_graph(trace(make(), 4), freeze=False)


def test_a_text_input_is_refused_in_words(tmp_path: Path) -> None:
    spec = tf.TensorSpec([None], tf.string, name="jpeg")
    folder = saved(tmp_path / "m", f=tf.function(lambda jpeg: {"n": tf.strings.length(jpeg)}, input_signature=[spec]))
    error = str(lower_saved_model(folder, (1,))[0].error)
    assert error.startswith("input 'jpeg' is text or encoded bytes (DT_STRING)")


def test_a_normalization_left_in_training_is_told(tmp_path: Path) -> None:
    ones = tf.ones([3])

    def norm(x: Any, *, training: bool) -> dict[str, Any]:
        return {"y": tf.compat.v1.nn.fused_batch_norm(x, ones, ones, ones, ones, is_training=training)[0]}

    spec = [tf.TensorSpec([2, 4, 4, 3], name="x")]
    folder = saved(
        tmp_path / "m",
        left=tf.function(lambda x: norm(x, training=True), input_signature=spec),
        right=tf.function(lambda x: norm(x, training=False), input_signature=spec),
    )
    advice = {program.signature: program.advice for program in lower_saved_model(folder, (1,))}
    assert len(advice["left"]) == 1
    assert "training=True" in advice["left"][0]
    assert advice["right"] == ()


@needs_compiler
def test_libtpu_compiles_a_foreign_saved_model_at_the_sizes_asked_for(tmp_path: Path) -> None:
    module = tf.Module()
    module.w = tf.Variable(tf.ones([16, 8]))
    module.f = tf.function(lambda x: tf.nn.relu(x @ module.w), input_signature=[tf.TensorSpec([None, 16], name="x")])
    tf.saved_model.save(module, str(tmp_path / "foreign"), signatures=module.f)
    rows = prove(tmp_path / "foreign", ["v5e:2x2", "v5e:3x7"], batch_sizes=(2, 4))
    good, bad = rows[:2], rows[2:]
    assert [(row.batch_size, row.ok, row.error) for row in good] == [(2, True, None), (4, True, None)]
    assert all(row.hbm_bytes and row.flops and row.bytes_accessed for row in good)
    assert all(row.time_share and row.padding_waste is not None for row in good)
    assert all(row.ok is False and "3x7" in str(row.error) for row in bad)


@needs_compiler
@pytest.mark.slow
def test_out_of_memory_is_the_compilers_own_message() -> None:
    layers = models.tf_keras.layers
    huge = models.tf_keras.Sequential(
        [layers.Input((24576, 24576, 3)), layers.Conv2D(16, 3), layers.Conv2D(16, 5), layers.GlobalAveragePooling2D()]
    )
    graph = apply_precision(trace(models.float_model_from_keras(huge), 1), "bfloat16")
    row = only(compile_all([Lowered("batch_1", 1, lower_graph(graph))], ["v5e:2x2"]))
    assert row.ok is False
    assert "Ran out of memory" in str(row.error)


@needs_compiler
@pytest.mark.slow
def test_two_proofs_at_once_do_not_block_each_other(tmp_path: Path) -> None:
    module = tf.Module()
    module.f = tf.function(lambda x: tf.nn.softmax(x), input_signature=[tf.TensorSpec([4, 16], name="x")])
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.f)
    code = (
        "from pathlib import Path; from tfcompress.converters.cloud_tpu import prove; "
        f"assert all(row.ok for row in prove(Path({str(tmp_path / 'm')!r}), ['v5e:2x2', 'v6e:1x1']))"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [run.wait(300) for run in runs] == [0, 0]
