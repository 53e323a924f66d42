"""The Snapdragon chips and the Ethos-U configurations that artifacts are compiled for, as immutable data."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from tfcompress.errors import RecipeError

__all__ = [
    "CONFIGS",
    "DEFAULT_CONFIGS",
    "DEFAULT_SOCS",
    "QUALCOMM",
    "SOCS",
    "VENDORS",
    "EthosUConfig",
    "Soc",
    "Vendor",
    "check_configs",
    "check_socs",
    "vendor_of",
]


@dataclass(frozen=True)
class Soc:
    """One chip.

    Attributes:
        name: as `ai_edge_litert.aot.vendors.qualcomm.target.SocModel` has it.
        title: what it is sold as; from Qualcomm's product pages.
        hexagon: version of its HTP, as the compiler's log gives it ("arch associated with SoC").
    """

    name: str
    title: str
    hexagon: int


SOCS = {
    soc.name: soc
    for soc in (
        Soc("SA8255", "Snapdragon Ride SA8255P", 73),
        Soc("SA8295", "Snapdragon Cockpit SA8295P", 68),
        Soc("SM8350", "Snapdragon 888", 68),
        Soc("SM8450", "Snapdragon 8 Gen 1", 69),
        Soc("SM8475", "Snapdragon 8+ Gen 1", 69),
        Soc("SM8550", "Snapdragon 8 Gen 2", 73),
        Soc("SM8650", "Snapdragon 8 Gen 3", 75),
        Soc("SM8750", "Snapdragon 8 Elite", 79),
        Soc("SM8845", "Snapdragon 8 Gen 5", 81),
        Soc("SM8850", "Snapdragon 8 Elite Gen 5", 81),
    )
}
DEFAULT_SOCS = ("SM8650", "SM8750", "SM8850")


@dataclass(frozen=True)
class Vendor:
    """A maker of phone or laptop NPUs for which LiteRT has a compiler plugin.

    Attributes:
        name: LiteRT's ``--soc_manufacturer``.
        plugin: folder of LiteRT's plugin below ``ai_edge_litert/vendors``.
        package: on the package index, with the compiler itself; it fetches it from the vendor when it is installed.
        socs: the chips that LiteRT names, from ``ai_edge_litert.aot.vendors.*.target`` of LiteRT 2.3.0.
    """

    name: str
    plugin: str
    package: str
    socs: tuple[str, ...]

    @property
    def module(self) -> str:
        """Import name of the package."""
        return self.package.replace("-", "_")


QUALCOMM = Vendor("Qualcomm", "qualcomm", "onnxruntime-qnn", tuple(SOCS))
VENDORS = (
    QUALCOMM,
    Vendor(
        "MediaTek",
        "mediatek",
        "ai-edge-litert-sdk-mediatek",
        (
            *("MT6853", "MT6877", "MT6878", "MT6879", "MT6886", "MT6893", "MT6895", "MT6897", "MT6983", "MT6985"),
            *("MT6989", "MT6991", "MT6993", "MT8171", "MT8188", "MT8189"),
        ),
    ),
    Vendor(
        "Google",
        "google_tensor",
        "ai-edge-litert-sdk-google-tensor",
        ("Tensor_G3", "Tensor_G4", "Tensor_G5", "Tensor_G6"),
    ),
    Vendor("Samsung", "samsung", "ai-edge-litert-sdk-samsung", ("E9965",)),
    Vendor("IntelOpenVINO", "intel_openvino", "ai-edge-litert-sdk-intel", ("LNL", "PTL")),
)


def vendor_of(soc: str) -> Vendor | None:
    """Who makes a chip; None for a name that LiteRT does not know."""
    return next((vendor for vendor in VENDORS if soc in vendor.socs), None)


def check_socs(names: Sequence[str]) -> None:
    """Check names of chips.

    Raises:
        RecipeError: none is given, one is not known, or its vendor's compiler is not installed.
    """
    known = ",".join(SOCS)
    if not names:
        raise RecipeError(f"--socs: no chip given, expected one or more of {known}")
    for name in names:
        vendor = vendor_of(name)
        if vendor is None:
            raise RecipeError(f"--socs: unknown chip {name!r}, expected one or more of {known}")
        if vendor is not QUALCOMM and importlib.util.find_spec(vendor.module) is None:
            raise RecipeError(
                f"--socs: {name} is a chip of {vendor.name}: SDK not installed: pip install {vendor.package}"
            )


@dataclass(frozen=True)
class EthosUConfig:
    """One accelerator in a system.

    Attributes:
        name: Vela's ``--accelerator-config``; the last number is how many products it computes in a cycle.
        system: Vela's ``--system-config`` of ``Arm/vela.ini``: clock and memories.
        memory: Vela's ``--memory-mode`` of the same file: where tensors and weights lie.
    """

    name: str
    system: str
    memory: str


def _family(prefix: str, sizes: Sequence[int], system: str, memory: str) -> list[EthosUConfig]:
    return [EthosUConfig(f"{prefix}-{size}", system, memory) for size in sizes]


# The systems are those that Vela 5.2 takes by itself, with a warning, where none is named.
CONFIGS = {
    config.name: config
    for config in (
        *_family("ethos-u55", (32, 64, 128, 256), "Ethos_U55_High_End_Embedded", "Shared_Sram"),
        *_family("ethos-u65", (256, 512), "Ethos_U65_Client_Server", "Dedicated_Sram_384KB"),
        *_family("ethos-u85", (128, 256, 512, 1024, 2048), "Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram_384KB"),
    )
}
DEFAULT_CONFIGS = ("ethos-u55-128", "ethos-u65-256", "ethos-u85-256")


def check_configs(names: Sequence[str]) -> None:
    """Check names of configurations.

    Raises:
        RecipeError: none is given, or one is not known.
    """
    unknown = [name for name in names if name not in CONFIGS]
    if unknown or not names:
        given = f"unknown configuration {unknown[0]!r}" if unknown else "no configuration given"
        raise RecipeError(f"--ethos_u_configs: {given}, expected one or more of {','.join(CONFIGS)}")
