"""The Snapdragon chips that artifacts are compiled for, and the vendors of phone NPUs, as immutable data."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from tfcompress.errors import RecipeError

__all__ = ["DEFAULT_SOCS", "QUALCOMM", "SOCS", "VENDORS", "Soc", "Vendor", "check_socs", "vendor_of"]


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
    expected = ",".join(SOCS)
    if not names:
        raise RecipeError(f"--socs: no chip given, expected one or more of {expected}")
    for name in names:
        vendor = vendor_of(name)
        if vendor is None:
            raise RecipeError(f"--socs: unknown chip {name!r}, expected one or more of {expected}")
        if vendor is not QUALCOMM and importlib.util.find_spec(vendor.module) is None:
            raise RecipeError(
                f"--socs: {name} is a chip of {vendor.name}: SDK not installed: pip install {vendor.package}"
            )
