"""Where Qualcomm's compiler and emulator are, and whether they fit the LiteRT that is installed.

They come with the wheel of onnxruntime-qnn, which the user installs: Qualcomm's licence ("AI Stack License", in the
wheel) lets one develop with them and ship their output inside an application, and forbids passing them on alone.  So
tfcompress never contains them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tfcompress.converters.snapdragon.chips import QUALCOMM, Vendor, vendor_of
from tfcompress.errors import MissingExtraError, TfCompressError

__all__ = ["LITERT_WANTS", "UnusableSdkError", "VendorSdk", "find_sdk", "installed_version", "pair_problem", "sdk_for"]

# {LiteRT: QAIRT that its Qualcomm plugin was built with}.  Source: setup.py of ai-edge-litert-sdk-qualcomm of the same
# version, which downloads that release.  A newer QAIRT of the same major version compiles too (seen with 2.51.0 of
# onnxruntime-qnn 2.7.0); an older one lacks what the plugin calls.
LITERT_WANTS = {"2.3": "2.50"}
_LIBRARIES = ("libQnnHtp.so", "libQnnIr.so", "libQnnSaver.so", "libQnnSystem.so")
_PLUGIN = Path("vendors/qualcomm/compiler/libLiteRtCompilerPlugin_Qualcomm.so")
_TOOL = Path("tools/apply_plugin_main")


class UnusableSdkError(TfCompressError):
    """The packages are installed, but cannot compile here."""


@dataclass(frozen=True)
class VendorSdk:
    """The parts of the compiler.

    Attributes:
        libraries: folder with Qualcomm's shared libraries.
        qairt: version of Qualcomm's AI runtime in it.
        tool: LiteRT's `apply_plugin_main`, which `ai_edge_litert.aot.aot_compile` calls too.
        plugins: folder with LiteRT's plugin for Qualcomm.
        litert: version of ai-edge-litert.
        vendor: whose compiler it is.
    """

    libraries: Path
    qairt: str
    tool: Path
    plugins: Path
    litert: str
    vendor: Vendor = QUALCOMM

    @property
    def version(self) -> str:
        """Of all parts, for reports and for the names of kept results."""
        name = "QAIRT" if self.vendor is QUALCOMM else self.vendor.package
        return f"{name} {self.qairt}, LiteRT {self.litert}"


def find_sdk() -> VendorSdk:
    """The compiler of the installed packages.

    Raises:
        MissingExtraError: onnxruntime-qnn is not installed.
        UnusableSdkError: this is no Linux on x86-64, or the packages do not fit each other.
    """
    package = importlib.util.find_spec("onnxruntime_qnn")
    if package is None or package.origin is None:
        raise MissingExtraError("onnxruntime-qnn", "snapdragon", "compiling for Snapdragon")
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise UnusableSdkError(
            f"compiling for Snapdragon needs Linux on x86-64, here is {sys.platform} on {platform.machine()}: "
            "LiteRT's plugin exists for no other"
        )
    libraries, litert_root = Path(package.origin).parent, _litert_root()
    sdk = VendorSdk(
        libraries=libraries,
        qairt=_qairt_version(libraries),
        tool=litert_root / _TOOL,
        plugins=(litert_root / _PLUGIN).parent,
        litert=importlib.metadata.version("ai-edge-litert"),
    )
    problem = pair_problem(sdk.litert, sdk.qairt) or _missing_file(sdk)
    if problem is not None:
        raise UnusableSdkError(problem)
    return sdk


def sdk_for(soc: str) -> VendorSdk:
    """The compiler for a chip of any vendor.

    For chips other than Qualcomm's the path is the same, LiteRT's tool and the vendor's plugin, with the libraries that
    the vendor's package fetched when it was installed; it could not be tried where those cannot be fetched.

    Raises:
        MissingExtraError, UnusableSdkError: see `find_sdk`; or another vendor's package is missing or has no libraries.
    """
    vendor = vendor_of(soc)
    if vendor is None or vendor is QUALCOMM:
        return find_sdk()
    try:
        package = importlib.import_module(vendor.module)
        libraries = Path(str(package.path_to_sdk_libs()))
        version = importlib.metadata.version(vendor.package)
    except (ImportError, AttributeError, OSError, TypeError) as error:
        raise UnusableSdkError(
            f"{soc}: SDK not installed: pip install {vendor.package} ({type(error).__name__})"
        ) from None
    root = _litert_root()
    plugins = root / "vendors" / vendor.plugin / "compiler"
    return VendorSdk(libraries, version, root / _TOOL, plugins, importlib.metadata.version("ai-edge-litert"), vendor)


def installed_version() -> str | None:
    """`VendorSdk.version` of what is installed; None where nothing usable is."""
    try:
        return find_sdk().version
    except (MissingExtraError, UnusableSdkError):
        return None


def pair_problem(litert: str, qairt: str) -> str | None:
    """Why these two versions do not work together, and what to install; None where nothing is known against them."""
    wanted = LITERT_WANTS.get(".".join(litert.split(".")[:2]))
    if wanted is None or _numbers(qairt)[:2] >= _numbers(wanted):
        return None
    return (
        f"ai-edge-litert {litert} needs QAIRT {wanted} or newer, but onnxruntime-qnn carries {qairt}: "
        "pip install 'tfcompress[snapdragon]' --upgrade"
    )


def _litert_root() -> Path:
    package = importlib.util.find_spec("ai_edge_litert")
    if package is None or package.origin is None:
        raise UnusableSdkError("compiling for Snapdragon needs ai-edge-litert: pip install ai-edge-litert")
    return Path(package.origin).parent


def _qairt_version(libraries: Path) -> str:
    """From ``build_and_package_info.py`` of the wheel, which is read and not imported: importing would load ONNX."""
    try:
        text = (libraries / "build_and_package_info.py").read_text(encoding="utf-8")
    except OSError:
        text = ""
    match = re.search(r"qnn_version = '([\d.]+)'", text)
    if match is None:
        raise UnusableSdkError(
            f"{libraries}: this onnxruntime-qnn does not say which QAIRT it carries; "
            "pip install 'tfcompress[snapdragon]' --upgrade"
        )
    return match.group(1)


def _missing_file(sdk: VendorSdk) -> str | None:
    wanted = [sdk.tool, sdk.plugins / _PLUGIN.name, *(sdk.libraries / name for name in _LIBRARIES)]
    missing = next((path for path in wanted if not path.is_file()), None)
    return None if missing is None else f"{missing} is missing: reinstall onnxruntime-qnn and ai-edge-litert"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
