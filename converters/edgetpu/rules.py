"""The rules as data, one row a rule: which operators, which condition, the compiler's words, how sure, and from where.

The first rule that an operator breaks is the one reported.  To add a rule, add a row, and a condition to `checks`
where none fits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tfcompress.converters.edgetpu import checks
from tfcompress.converters.edgetpu.operators import LARGEST_SOFTMAX, Certainty
from tfcompress.converters.edgetpu.versions import COMPILERS, NEWEST, SINCE
from tfcompress.converters.edgetpu.view import OperatorView
from tfcompress.graphs.tflite import Tensor

__all__ = ["RULES", "Rule", "Status", "broken_rule"]


class Status(StrEnum):
    """What the compiler says of an operator, in its own words."""

    MAPPED = "Mapped to Edge TPU"
    SECOND_SUBGRAPH = "More than one subgraph is not supported"
    UNSPECIFIED = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
    DATA_TYPE = "Operation is working on an unsupported data type"
    NOT_SUPPORTED = "Operation not supported"
    VERSION = "Operation version not supported"
    RANK = "Tensor has unsupported rank (up to 3 innermost dimensions mapped)"
    NOT_CONSTANT = "Filter, bias, or other param is not constant at compile-time"
    STRIDES = "Only Strided-Slice with unitary strides supported"


@dataclass(frozen=True)
class Rule:
    """One reason why an operator stays on the CPU.

    Attributes:
        name: short and stable, for machines.
        operators: TFLite operators that it applies to; empty means all.
        check: returns the offending tensor, or None when the rule is kept.
        status: the compiler's words.
        why: the rule in a sentence.
        fix: what the model's owner can do.
        certainty: see `operators.Certainty`.
        source: where the rule is from.
        first_compiler: oldest compiler that it speaks of.
        last_compiler: newest compiler that it speaks of.
    """

    name: str
    operators: tuple[str, ...]
    check: Callable[[OperatorView], Tensor | None]
    status: Status
    why: str
    fix: str
    certainty: Certainty
    source: str
    first_compiler: int = COMPILERS[0]
    last_compiler: int = NEWEST

    def applies_to(self, operator: str, compiler: int = NEWEST) -> bool:
        """Whether the rule speaks of an operator type and a compiler."""
        concerned = not self.operators or operator in self.operators
        return concerned and self.first_compiler <= compiler <= self.last_compiler


def _with(check: Callable[..., Tensor | None], limit: int) -> Callable[[OperatorView], Tensor | None]:
    return functools.partial(check, limit=limit)


_SEEN = "public pairs of a model and its compiled form, compiler 16"
_LOGS = "public logs of compiler 16"
_AXIS = "Axis ARTPEC-7, supported ops (Coral's table restated)"
_CORAL = "Coral table of supported operations (early copy)"
_REDUCTIONS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")

RULES: tuple[Rule, ...] = (
    Rule(
        "rank",
        (),
        checks.rank_above_three,
        Status.RANK,
        "only the 3 innermost dimensions may exceed 1, so the batch must be 1",
        "use batch 1 and at most rows, columns and channels; reshape or fold the other dimensions",
        "documented",
        "coral.ai models-intro, model requirements; Axis ARTPEC-7",
    ),
    Rule(
        "float_input",
        ("QUANTIZE",),
        checks.quantizes_float,
        Status.UNSPECIFIED,
        "a float tensor cannot be quantized on the Edge TPU; as the first operator this is harmless",
        "give the model int8 or uint8 inputs (edgetpu.float_io=false)",
        "observed",
        "refused in 49 of 49 public instances",
    ),
    Rule(
        "data_type",
        (),
        checks.not_eight_bit,
        Status.DATA_TYPE,
        "every activation must be int8 or uint8",
        "quantize the whole model to 8 bits, or move this operator behind the model",
        "documented",
        "coral.ai models-intro, model requirements",
    ),
    Rule(
        "custom_operator",
        (),
        checks.custom,
        Status.DATA_TYPE,
        "custom operators never map",
        "replace it by builtin operators, or end the model before it",
        "observed",
        "Coral table of supported operations; all custom operators of 238 public pairs stayed on the CPU",
    ),
    Rule(
        "operator",
        (),
        checks.not_supported,
        Status.NOT_SUPPORTED,
        "no Edge TPU compiler has this operator",
        "replace it by operators of the supported list, or move it to the end of the model",
        "observed",
        "Coral table of supported operations; never mapped in 238 public pairs",
    ),
    *(
        Rule(
            f"since_compiler_{since.compiler}",
            since.operators,
            checks.first_result,
            Status.NOT_SUPPORTED,
            f"compiler {since.compiler} was the first to have this operator",
            f"compile with edgetpu_compiler {since.compiler} or newer",
            since.certainty,
            since.source,
            last_compiler=since.compiler - 1,
        )
        for since in SINCE
    ),
    Rule(
        "nearest_version",
        ("RESIZE_NEAREST_NEIGHBOR",),
        _with(checks.version_at_least, 3),
        Status.VERSION,
        "version 3, which TensorFlow writes since 2.3, is known to compiler 16 only",
        "compile with edgetpu_compiler 16",
        "observed",
        "refused in logs of compilers 14.1 and 15.0, mapped by 16.0",
        last_compiler=15,
    ),
    Rule(
        "transpose_conv_version",
        ("TRANSPOSE_CONV",),
        _with(checks.version_at_least, 3),
        Status.VERSION,
        "compiler 2.1 does not know version 3",
        "compile with edgetpu_compiler 14 or newer",
        "observed",
        "google-coral/edgetpu issues 147 and 358",
        last_compiler=2,
    ),
    Rule(
        "version",
        (),
        checks.newer_version,
        Status.VERSION,
        "the operator's version is newer than the compiler; all operators of one type in a file share the highest"
        " version that any of them needs, so one float, int64 or keep_num_dims instance is enough",
        "remove the instance that lifts the version (float or int64 arithmetic, Dense on rank > 2), or convert again",
        "observed",
        "ADD version 4 refused in a public pair; FULLY_CONNECTED 9 refused in public experiment notes",
    ),
    Rule(
        "constant_parameters",
        (),
        checks.parameters_not_constant,
        Status.NOT_CONSTANT,
        "filters and biases must be constants",
        "use a layer with weights of its own instead of a computed filter",
        "documented",
        "coral.ai models-intro; google-coral/edgetpu issue 25",
    ),
    Rule(
        "dilation",
        ("CONV_2D", "DEPTHWISE_CONV_2D"),
        checks.dilation_unequal,
        Status.UNSPECIFIED,
        "dilation must be the same in x and y unless the kernel is 1 wide in one of them",
        "use the same dilation in both directions, or split the kernel into a row and a column",
        "documented",
        f"{_AXIS}; the exception for kernels 1 wide was observed in a public pair",
    ),
    Rule(
        "fused_activation",
        ("AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION"),
        checks.fused_activation,
        Status.UNSPECIFIED,
        "this operator maps without a fused activation only",
        "put the activation before it, or into the layer after it",
        "documented",
        f"{_AXIS}; {_CORAL}",
    ),
    Rule(
        "constant_concatenation",
        ("CONCATENATION",),
        checks.concatenates_constant,
        Status.UNSPECIFIED,
        "a constant may be concatenated only when there are exactly two inputs and it is all zero",
        "append zeros by padding, or concatenate after the model",
        "documented",
        f"{_AXIS}; {_CORAL}",
    ),
    Rule(
        "large_concatenation",
        ("CONCATENATION",),
        _with(checks.flat_elements_at_least, 1_209_600),
        Status.UNSPECIFIED,
        "a concatenation of this size without rows and columns was refused ([1,144,8400])",
        "end the model before it and concatenate on the CPU, or use a smaller input",
        "observed",
        _SEEN,
    ),
    Rule(
        "large_logistic",
        ("LOGISTIC",),
        _with(checks.flat_elements_at_least, 672_000),
        Status.UNSPECIFIED,
        "a sigmoid of this size without rows and columns was refused ([1,80,8400]; [1,80,2100] maps)",
        "apply the sigmoid after the model, or before the tensors are flattened",
        "observed",
        _LOGS,
    ),
    Rule(
        "large_softmax",
        ("SOFTMAX",),
        _with(checks.total_elements_above, LARGEST_SOFTMAX),
        Status.UNSPECIFIED,
        "a softmax of 65,856 elements is the largest that was seen mapped; Coral's table allows 16,000",
        "apply the softmax after the model (--rewrite=all cuts it off)",
        "inferred",
        f"softmaxes of 16,384, 48,384 and 65,856 elements map in public pairs; {_CORAL}",
    ),
    Rule(
        "large_transpose",
        ("TRANSPOSE",),
        _with(checks.total_elements_above, 82_944),
        Status.UNSPECIFIED,
        "transposes up to 82,944 elements were seen mapped, from 104,000 on they were refused",
        "keep the channels last so that no transpose is needed, or use a smaller input",
        "observed",
        f"{_SEEN}; {_LOGS}",
    ),
    Rule(
        "transpose_rank",
        ("TRANSPOSE",),
        checks.rank_above_four,
        Status.UNSPECIFIED,
        "a transpose of 5 or more dimensions is refused",
        "reshape to 4 dimensions first, or keep the channels last",
        "observed",
        _SEEN,
    ),
    Rule(
        "many_outputs",
        ("FULLY_CONNECTED",),
        _with(checks.outputs_at_least, 100_000),
        Status.UNSPECIFIED,
        "a Dense layer of 100,000 outputs does not map; 8192 x 8192 does",
        "split the layer into several of fewer outputs",
        "documented",
        "google-coral/libcoral, coral/tools (split_fc)",
    ),
    Rule(
        "weights_format",
        ("FULLY_CONNECTED",),
        checks.weights_shuffled,
        Status.UNSPECIFIED,
        "weights must be in the default format",
        "convert again without shuffled weights",
        "documented",
        f"{_AXIS}; {_CORAL}",
    ),
    Rule(
        "reduced_batch",
        _REDUCTIONS,
        checks.reduces_batch,
        Status.UNSPECIFIED,
        "the batch dimension cannot be reduced",
        "reduce over rows, columns or channels only",
        "documented",
        _AXIS,
    ),
    Rule(
        "reduced_depth",
        ("MEAN",),
        checks.reduces_odd_depth,
        Status.UNSPECIFIED,
        "a mean over the channels needs a multiple of 4 of them",
        "make the number of channels a multiple of 4",
        "documented",
        _AXIS,
    ),
    Rule(
        "large_mean",
        ("MEAN",),
        _with(checks.reduces_many_positions, 32_768),
        Status.UNSPECIFIED,
        "a mean over 256 x 128 positions was refused; split into 4 parts it maps",
        "take the mean in two steps (--rewrite=safe does)",
        "documented",
        "google-coral/edgetpu issue 461, staff",
    ),
    Rule(
        "packed_batch",
        ("PACK",),
        checks.axis_is_batch,
        Status.UNSPECIFIED,
        "tensors cannot be packed along the batch dimension (the fourth from the end)",
        "stack along rows, columns or channels",
        "documented",
        f"{_AXIS}; the first of 3 dimensions was seen mapped",
    ),
    Rule(
        "split_axis",
        ("SPLIT",),
        checks.splits_first_axis,
        Status.UNSPECIFIED,
        "a split along the first dimension was refused; one part along it maps",
        "split along the channels",
        "observed",
        _SEEN,
    ),
    Rule(
        "alpha_shape",
        ("PRELU",),
        checks.prelu_alpha_not_shared,
        Status.UNSPECIFIED,
        "PReLU slopes must differ by channel only",
        "use PReLU(shared_axes=[1, 2])",
        "documented",
        _AXIS,
    ),
    Rule(
        "half_pixels",
        ("RESIZE_BILINEAR",),
        checks.half_pixel_centers,
        Status.UNSPECIFIED,
        "compilers before 16 do not resize bilinearly with half pixel centers",
        "compile with edgetpu_compiler 16, or resize with align_corners",
        "observed",
        "7x7 to 14x14x1280 refused in a public pair whose package names runtime 12",
        last_compiler=15,
    ),
    Rule(
        "bilinear_size",
        ("RESIZE_BILINEAR",),
        _with(checks.bilinear_too_uneven, 513),
        Status.UNSPECIFIED,
        "bilinear resizing from 1x1, or to 513 rows or columns, loses precision and was refused",
        "resize after the model, in several steps of 2, or with nearest neighbour",
        "observed",
        f"{_AXIS}; {_SEEN}",
    ),
    Rule(
        "resize_bytes",
        ("RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"),
        _with(checks.resized_bytes_at_least, 4_194_304),
        Status.UNSPECIFIED,
        "a resized image of 4 MB was refused (256x256x64); 2 MB maps (128x128x128)",
        "resize before the number of channels grows, or after the model",
        "observed",
        _SEEN,
    ),
    Rule(
        "slice_strides",
        ("STRIDED_SLICE",),
        checks.slice_strides,
        Status.STRIDES,
        "every stride must be 1; compiler 16 may even abort on others (google-coral/edgetpu issue 828)",
        "use a convolution or a pooling with that stride, or slices of stride 1",
        "documented",
        _CORAL,
    ),
    Rule(
        "slice_masks",
        ("STRIDED_SLICE",),
        checks.slice_masks,
        Status.UNSPECIFIED,
        "slices with an ellipsis or a new axis do not map",
        "write all dimensions of the slice, and add axes with a reshape",
        "documented",
        _CORAL,
    ),
    Rule(
        "squeezed_axis",
        ("SQUEEZE",),
        checks.squeezes_inner,
        Status.UNSPECIFIED,
        "only leading dimensions of 1 can be squeezed",
        "use a reshape instead",
        "documented",
        _CORAL,
    ),
)


def broken_rule(view: OperatorView, *, compiler: int = NEWEST) -> tuple[Rule, Tensor] | None:
    """The first rule that an operator breaks, with the tensor that breaks it; None when it can map.

    Args:
        view: the operator.
        compiler: major version of the compiler.
    """
    for rule in RULES:
        if rule.applies_to(view.operator.name, compiler):
            tensor = rule.check(view)
            if tensor is not None:
                return rule, tensor
    return None
