"""The work of published networks whose files are not at hand, from their layers: fills `edgetpu_figures.json` anew.

Each network is written down layer by layer from its paper or its code, and measured by what forecasts a file.  Batch
normalization, activations and paddings are taken to be part of the convolutions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.edgetpu_latency import FIGURES
from tfcompress.converters.edgetpu.memory import demand
from tfcompress.converters.edgetpu.view import OperatorView
from tfcompress.converters.edgetpu.work import Work, work_of
from tfcompress.graphs.tflite import Operator, Subgraph, Tensor

__all__ = ["NETWORKS", "Network", "work"]

_CONSTANT = np.zeros(0, np.uint8)
_COMPILER = 16


class Network:
    """A graph that grows operator by operator; an image or a vector is the number of its tensor."""

    def __init__(self, side: int) -> None:
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.image = self._tensor((1, side, side, 3))

    def shape(self, image: int) -> tuple[int, ...]:
        """Of a tensor."""
        return self.tensors[image].shape

    def convolution(
        self, image: int, filters: int, kernel: int | tuple[int, int], stride: int = 1, padding: str = "same"
    ) -> int:
        """A convolution; a number for `kernel` is a square."""
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        weights = self._constant((filters, rows, columns, self.shape(image)[-1]))
        return self._window("CONV_2D", [image, weights], filters, (rows, columns), stride, padding)

    def depthwise(self, image: int, kernel: int, stride: int = 1) -> int:
        """A depthwise convolution."""
        channels = self.shape(image)[-1]
        weights = self._constant((1, kernel, kernel, channels))
        return self._window("DEPTHWISE_CONV_2D", [image, weights], channels, (kernel, kernel), stride, "same")

    def pool(self, image: int, kind: str, kernel: int, stride: int = 1, padding: str = "same") -> int:
        """``MAX`` or ``AVERAGE`` pooling."""
        channels = self.shape(image)[-1]
        return self._window(f"{kind}_POOL_2D", [image], channels, (kernel, kernel), stride, padding)

    def add(self, first: int, second: int) -> int:
        """The sum of two images."""
        return self._operator("ADD", [first, second], self.shape(first))

    def join(self, *images: int) -> int:
        """Channels side by side."""
        shape = self.shape(images[0])
        return self._operator("CONCATENATION", [*images], (*shape[:-1], sum(self.shape(i)[-1] for i in images)))

    def vector(self, elements: int) -> int:
        """An input beside the image."""
        return self._tensor((1, elements))

    def dense(self, vector: int, outputs: int) -> int:
        """A Dense layer on all that there is."""
        inputs = math.prod(self.shape(vector))
        return self._operator("FULLY_CONNECTED", [vector, self._constant((outputs, inputs))], (1, outputs))

    def head(self, image: int, classes: int) -> int:
        """Global average and Dense layer."""
        mean = self._operator("MEAN", [image], (1, self.shape(image)[-1]))
        return self.dense(mean, classes)

    def graph(self) -> Subgraph:
        """What was built; its result is the last operator's."""
        return Subgraph(
            0, "main", tuple(self.tensors), tuple(self.operators), (self.image,), self.operators[-1].outputs
        )

    def _window(
        self, name: str, inputs: list[int], filters: int, kernel: tuple[int, int], stride: int, padding: str
    ) -> int:
        sizes = self.shape(inputs[0])[1:3]
        valid = [(size - width) // stride + 1 for size, width in zip(sizes, kernel, strict=True)]
        rows, columns = valid if padding == "valid" else [-(-size // stride) for size in sizes]
        return self._operator(name, inputs, (1, rows, columns, filters))

    def _operator(self, name: str, inputs: list[int], shape: tuple[int, ...]) -> int:
        result = self._tensor(shape)
        self.operators.append(Operator(len(self.operators), name, False, 1, tuple(inputs), (result,), None))
        return result

    def _constant(self, shape: tuple[int, ...]) -> int:
        return self._tensor(shape, _CONSTANT)

    def _tensor(self, shape: tuple[int, ...], data: np.ndarray | None = None) -> int:
        index = len(self.tensors)
        self.tensors.append(Tensor(index, f"t{index}", shape, shape, "uint8", None, data, False))
        return index


def mobilenet_v1() -> Network:
    """MobileNet v1 (arXiv 1704.04861)."""
    n = Network(224)
    x = n.convolution(n.image, 32, 3, 2)
    strides = {128: 2, 256: 2, 512: 2, 1024: 2}
    for filters in (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024):
        x = n.convolution(n.depthwise(x, 3, strides.pop(filters, 1)), filters, 1)
    n.head(x, 1001)
    return n


def resnet_v1(side: int = 299) -> Network:
    """ResNet-50 (arXiv 1512.03385), with the strides of keras.applications."""
    n = Network(side)
    x = n.pool(n.convolution(n.image, 64, 7, 2), "MAX", 3, 2)
    for stage, (filters, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            shortcut = n.convolution(x, 4 * filters, 1, stride) if not block else x
            y = n.convolution(n.convolution(x, filters, 1, stride), filters, 3)
            x = n.add(shortcut, n.convolution(y, 4 * filters, 1))
    n.head(x, 1000)
    return n


def resnet_v2(*blocks: int) -> Network:
    """ResNet v2 (arXiv 1603.05027), as in keras.applications."""
    n = Network(299)
    x = n.pool(n.convolution(n.image, 64, 7, 2), "MAX", 3, 2)
    for stage, count in enumerate(blocks):
        filters = 64 << stage
        for block in range(count):
            stride = 2 if block == count - 1 and stage < 3 else 1
            shortcut = n.convolution(x, 4 * filters, 1) if not block else n.pool(x, "MAX", 1, 2) if stride > 1 else x
            y = n.convolution(n.convolution(x, filters, 1), filters, 3, stride)
            x = n.add(shortcut, n.convolution(y, 4 * filters, 1))
    n.head(x, 1000)
    return n


def vgg(*convolutions: int) -> Network:
    """VGG (arXiv 1409.1556), with the numbers of convolutions before each pooling."""
    n = Network(224)
    x = n.image
    for filters, count in zip((64, 128, 256, 512, 512), convolutions, strict=True):
        for _ in range(count):
            x = n.convolution(x, filters, 3)
        x = n.pool(x, "MAX", 2, 2)
    n.dense(n.dense(n.dense(x, 4096), 4096), 1000)
    return n


def densenet_121() -> Network:
    """DenseNet-121 (arXiv 1608.06993)."""
    n = Network(224)
    x = n.pool(n.convolution(n.image, 64, 7, 2), "MAX", 3, 2)
    for stage, count in enumerate((6, 12, 24, 16)):
        for _ in range(count):
            x = n.join(x, n.convolution(n.convolution(x, 128, 1), 32, 3))
        if stage < 3:
            x = n.pool(n.convolution(x, n.shape(x)[-1] // 2, 1), "AVERAGE", 2, 2)
    n.head(x, 1000)
    return n


def inception_v1() -> Network:
    """GoogLeNet (table 1 of arXiv 1409.4842), 3 x 3 kernels for 5 x 5 as in TF-slim."""
    n = Network(224)
    c = n.convolution
    x = n.pool(c(n.image, 64, 7, 2), "MAX", 3, 2)
    x = n.pool(c(c(x, 64, 1), 192, 3), "MAX", 3, 2)
    mixed = (
        (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128),
        (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
    )  # fmt: skip
    for position, (a, b, bb, d, dd, e) in enumerate(mixed):
        if position in (2, 7):
            x = n.pool(x, "MAX", 3 if position == 2 else 2, 2)
        x = n.join(c(x, a, 1), c(c(x, b, 1), bb, 3), c(c(x, d, 1), dd, 3), c(n.pool(x, "MAX", 3), e, 1))
    n.head(x, 1001)
    return n


def _inception_stem(n: Network) -> int:
    """The layers that Inception v3 and Inception-ResNet v2 begin with."""
    c = n.convolution
    x = c(c(c(n.image, 32, 3, 2, "valid"), 32, 3, 1, "valid"), 64, 3)
    x = c(c(n.pool(x, "MAX", 3, 2, "valid"), 80, 1), 192, 3, 1, "valid")
    return n.pool(x, "MAX", 3, 2, "valid")


def _inception_block(n: Network, x: int, single: int, pooled: int) -> int:
    """The block of four branches of both: so many channels of a 1x1 convolution, and of one behind a pooling."""
    c = n.convolution
    last = c(n.pool(x, "AVERAGE", 3), pooled, 1)
    return n.join(c(x, single, 1), c(c(x, 48, 1), 64, 5), c(c(c(x, 64, 1), 96, 3), 96, 3), last)


def inception_v3() -> Network:
    """Inception v3 (arXiv 1512.00567), as in keras.applications."""
    n = Network(299)
    c, x = n.convolution, _inception_stem(n)
    for pooled in (32, 64, 64):
        x = _inception_block(n, x, 64, pooled)
    double = c(c(c(x, 64, 1), 96, 3), 96, 3, 2, "valid")
    x = n.join(c(x, 384, 3, 2, "valid"), double, n.pool(x, "MAX", 3, 2, "valid"))
    for f in (128, 160, 160, 192):
        once = c(c(c(x, f, 1), f, (1, 7)), 192, (7, 1))
        twice = c(c(c(c(c(x, f, 1), f, (7, 1)), f, (1, 7)), f, (7, 1)), 192, (1, 7))
        x = n.join(c(x, 192, 1), once, twice, c(n.pool(x, "AVERAGE", 3), 192, 1))
    once = c(c(x, 192, 1), 320, 3, 2, "valid")
    twice = c(c(c(c(x, 192, 1), 192, (1, 7)), 192, (7, 1)), 192, 3, 2, "valid")
    x = n.join(once, twice, n.pool(x, "MAX", 3, 2, "valid"))
    for _ in range(2):
        once, twice = c(x, 384, 1), c(c(x, 448, 1), 384, 3)
        once, twice = (n.join(c(y, 384, (1, 3)), c(y, 384, (3, 1))) for y in (once, twice))
        x = n.join(c(x, 320, 1), once, twice, c(n.pool(x, "AVERAGE", 3), 192, 1))
    n.head(x, 1000)
    return n


def inception_v4() -> Network:
    """Inception v4 (figure 9 of arXiv 1602.07261)."""
    n = Network(299)
    c = n.convolution
    x = c(c(c(n.image, 32, 3, 2, "valid"), 32, 3, 1, "valid"), 64, 3)
    x = n.join(n.pool(x, "MAX", 3, 2, "valid"), c(x, 96, 3, 2, "valid"))
    deep = c(c(c(c(x, 64, 1), 64, (1, 7)), 64, (7, 1)), 96, 3, 1, "valid")
    x = n.join(c(c(x, 64, 1), 96, 3, 1, "valid"), deep)
    x = n.join(c(x, 192, 3, 2, "valid"), n.pool(x, "MAX", 3, 2, "valid"))
    for _ in range(4):
        last = c(n.pool(x, "AVERAGE", 3), 96, 1)
        x = n.join(c(x, 96, 1), c(c(x, 64, 1), 96, 3), c(c(c(x, 64, 1), 96, 3), 96, 3), last)
    double = c(c(c(x, 192, 1), 224, 3), 256, 3, 2, "valid")
    x = n.join(c(x, 384, 3, 2, "valid"), double, n.pool(x, "MAX", 3, 2, "valid"))
    for _ in range(7):
        once = c(c(c(x, 192, 1), 224, (1, 7)), 256, (7, 1))
        twice = c(c(c(c(c(x, 192, 1), 192, (7, 1)), 224, (1, 7)), 224, (7, 1)), 256, (1, 7))
        x = n.join(c(x, 384, 1), once, twice, c(n.pool(x, "AVERAGE", 3), 128, 1))
    twice = c(c(c(c(x, 256, 1), 256, (1, 7)), 320, (7, 1)), 320, 3, 2, "valid")
    x = n.join(c(c(x, 192, 1), 192, 3, 2, "valid"), twice, n.pool(x, "MAX", 3, 2, "valid"))
    for _ in range(3):
        once, twice = c(x, 384, 1), c(c(c(x, 384, 1), 448, (1, 3)), 512, (3, 1))
        ends = [c(y, 256, kernel) for y in (once, twice) for kernel in ((1, 3), (3, 1))]
        x = n.join(c(x, 256, 1), *ends, c(n.pool(x, "AVERAGE", 3), 256, 1))
    n.head(x, 1001)
    return n


def inception_resnet_v2() -> Network:
    """Inception-ResNet v2 (arXiv 1602.07261), as in keras.applications."""
    n = Network(299)
    c, x = n.convolution, _inception_stem(n)
    x = _inception_block(n, x, 96, 64)
    for _ in range(10):
        y = n.join(c(x, 32, 1), c(c(x, 32, 1), 32, 3), c(c(c(x, 32, 1), 48, 3), 64, 3))
        x = n.add(x, c(y, 320, 1))
    double = c(c(c(x, 256, 1), 256, 3), 384, 3, 2, "valid")
    x = n.join(c(x, 384, 3, 2, "valid"), double, n.pool(x, "MAX", 3, 2, "valid"))
    for _ in range(20):
        y = n.join(c(x, 192, 1), c(c(c(x, 128, 1), 160, (1, 7)), 192, (7, 1)))
        x = n.add(x, c(y, 1088, 1))
    ends = [c(c(x, 256, 1), 384, 3, 2, "valid"), c(c(x, 256, 1), 288, 3, 2, "valid")]
    x = n.join(*ends, c(c(c(x, 256, 1), 288, 3), 320, 3, 2, "valid"), n.pool(x, "MAX", 3, 2, "valid"))
    for _ in range(10):
        y = n.join(c(x, 192, 1), c(c(c(x, 192, 1), 224, (1, 3)), 256, (3, 1)))
        x = n.add(x, c(y, 2080, 1))
    n.head(c(x, 1536, 1), 1000)
    return n


def efficientnet_edgetpu(side: int, width: float, depth: float) -> Network:
    """EfficientNet-EdgeTPU (tensorflow/tpu, efficientnet_edgetpu_builder)."""
    # (repeats, kernel, stride, expansion, filters, the expansion is a full convolution, shortcuts)
    stages = (
        (1, 3, 1, 4, 24, True, False), (2, 3, 2, 8, 32, True, True), (4, 3, 2, 8, 48, True, True),
        (5, 5, 2, 8, 96, False, True), (4, 5, 1, 8, 144, False, True), (2, 5, 2, 8, 192, False, True),
    )  # fmt: skip
    n = Network(side)
    x = n.convolution(n.image, _rounded(32, width), 3, 2)
    for repeats, kernel, first_stride, expansion, filters, full, shortcuts in stages:
        for block in range(math.ceil(repeats * depth)):
            stride, inputs = first_stride if not block else 1, n.shape(x)[-1]
            if full:
                y = n.convolution(x, inputs * expansion, kernel, stride)
            else:
                y = n.depthwise(n.convolution(x, inputs * expansion, 1), kernel, stride)
            y = n.convolution(y, _rounded(filters, width), 1)
            x = n.add(x, y) if shortcuts and stride == 1 and n.shape(x) == n.shape(y) else y
    n.head(n.convolution(x, _rounded(1280, width), 1), 1001)
    return n


def _rounded(filters: int, width: float) -> int:
    """To a multiple of 8, as EfficientNets do."""
    scaled = filters * width
    result = max(8, int(scaled + 4) // 8 * 8)
    return result + 8 if result < 0.9 * scaled else result


NETWORKS: dict[str, Callable[[], Network]] = {
    "MobileNet v1 (224)": mobilenet_v1,
    "ResNet-50 v1 (299)": resnet_v1,
    "ResNet-50 v2 (299)": lambda: resnet_v2(3, 4, 6, 3),
    "ResNet-152 v2 (299)": lambda: resnet_v2(3, 8, 36, 3),
    "VGG16 (224)": lambda: vgg(2, 2, 3, 3, 3),
    "VGG19 (224)": lambda: vgg(2, 2, 4, 4, 4),
    "DenseNet (224), taken for DenseNet-121": densenet_121,
    "Inception-ResNet v2 (299)": inception_resnet_v2,
    "Inception v3 (299)": inception_v3,
    "Inception v4 (299)": inception_v4,
    "Inception v1 (224)": inception_v1,
    "EfficientNet-EdgeTPU S (224)": lambda: efficientnet_edgetpu(224, 1.0, 1.0),
    "EfficientNet-EdgeTPU M (240)": lambda: efficientnet_edgetpu(240, 1.0, 1.1),
    "EfficientNet-EdgeTPU L (300)": lambda: efficientnet_edgetpu(300, 1.2, 1.4),
}


def work(graph: Subgraph) -> Work:
    """One inference of a network that is mapped whole."""
    views = [OperatorView(graph, operator) for operator in graph.operators]
    needs = demand(views, compiler=_COMPILER)
    streamed = needs.within(needs.room).off_chip
    return work_of(graph, frozenset(range(len(views))), streamed, compiler=_COMPILER)


def main() -> None:
    """Write the work of the networks into the figures, and print what changes."""
    rows: list[dict[str, Any]] = json.loads(FIGURES.read_text(encoding="utf-8"))
    for row in rows:
        if row["model"] in NETWORKS:
            new = vars(work(NETWORKS[row["model"]]().graph()))
            print(row["model"], {key: (row[key], value) for key, value in new.items() if row[key] != value})
            row |= new
    FIGURES.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
