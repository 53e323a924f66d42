"""Milliseconds of one inference, over USB 3 and PCIe, before the model has ever been on a device.

The time is a sum of what the work takes at a rate each (see `work`): the call itself, multiplications, results that are
written on the chip, streamed parameters, activations that go over the link, operators of the Edge TPU, and elements
that the host's processor reads and writes.  The multiplications never go faster than the chip's 64 x 64 at 500 MHz.

The rates were fitted to the figures in ``benchmarks/edgetpu_figures.json``: Coral's benchmark page
(coral.ai/docs/edgetpu/benchmarks: USB Accelerator on a desktop, and Dev Board, whose Edge TPU is on PCIe) and the
latency column of Coral's models page (coral.ai/models/all, the same desktop), and a few of others, each with its
source.  ``python -m benchmarks.edgetpu_networks`` counts the work of networks that are not at hand as files, and
``python -m benchmarks.edgetpu_latency`` fits the rates anew and prints how well each figure is foretold by a fit
without it.  The interval is made to hold nine in ten figures of models that neither the rates nor its width have seen.

What this cannot know: the host.  Coral's desktop is a Xeon Gold 6154 at 3 GHz; a small board takes longer for the
operators on the CPU, and USB 2 is about ten times slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tfcompress.converters.edgetpu.work import Work

__all__ = ["RATES", "SPREAD", "Latency", "Link", "Rates", "latency_of"]

Link = Literal["usb3", "pcie"]


@dataclass(frozen=True)
class Rates:
    """Milliseconds for each unit of work.

    Attributes:
        call: one inference, whatever it does.
        multiplications: 10**9 of them.
        activations: 10**6 bytes of results written on the chip.
        streamed: 10**6 bytes of parameters.
        transferred: 10**6 bytes of activations over the link.
        operators: one operator on the Edge TPU.
        cpu: 10**6 elements on the CPU.
    """

    call: float
    multiplications: float
    activations: float
    streamed: float
    transferred: float
    operators: float
    cpu: float


RATES: dict[Link, Rates] = {
    "usb3": Rates(
        call=0.4883,
        multiplications=0.6406,
        activations=0.1328,
        streamed=1.9515,
        transferred=4.1060,
        operators=0.0047,
        cpu=2.0003,
    ),
    "pcie": Rates(
        call=0.1561,
        multiplications=1.2956,
        activations=0.2727,
        streamed=2.0560,
        transferred=0.0,
        operators=0.0,
        cpu=2.0003,
    ),
}
# The interval reaches from the estimate divided by this to the estimate times it: `benchmarks.edgetpu_latency.spread`.
SPREAD = 1.9977


@dataclass(frozen=True)
class Latency:
    """One inference in milliseconds.

    Attributes:
        link: how the Edge TPU is connected.
        estimate: the sum of the parts.
        low: lower end of the interval.
        high: its upper end.
        streaming: the part of the estimate that is streamed parameters.
        cpu: the part that operators on the CPU take.
    """

    link: Link
    estimate: float
    low: float
    high: float
    streaming: float
    cpu: float

    def to_json(self) -> dict[str, object]:
        """The figures as `mapping.latency_ms` has them."""
        numbers = {key: round(value, 3) for key, value in vars(self).items() if key != "link"}
        return {"link": self.link, **numbers}


def latency_of(work: Work, link: Link) -> Latency:
    """How long one inference takes.

    Args:
        work: what it has to do.
        link: how the Edge TPU is connected.
    """
    rates = RATES[link]
    streaming, cpu = rates.streamed * work.streamed_bytes / 1e6, rates.cpu * work.cpu_elements / 1e6
    estimate = (
        rates.call
        + rates.multiplications * work.multiplications / 1e9
        + rates.activations * work.activation_bytes / 1e6
        + rates.transferred * work.transferred_bytes / 1e6
        + rates.operators * work.operators
        + streaming
        + cpu
    )
    return Latency(link, estimate, estimate / SPREAD, estimate * SPREAD, streaming, cpu)
