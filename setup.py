"""Packaging: several source roots, one import package.

``converters/``, ``calibration/`` and ``example_models/`` lie at the top of the repository but are imported as
``tfcompress.converters`` and so on, so that a user's own ``calibration/`` folder never shadows ours.  In a checkout
committed links inside ``tfcompress/`` do that; in a wheel ``package_dir`` does.
"""

from pathlib import Path

from setuptools import setup

ROOTS = {
    "tfcompress": "tfcompress",
    "tfcompress.converters": "converters",
    "tfcompress.calibration": "calibration",
    "tfcompress.example_models": "example_models",
}


def packages_below(package: str, folder: str) -> dict[str, str]:
    """Every sub-package of `folder` (links not followed), as {import name: folder}."""
    found = {package: folder}
    for child in sorted(Path(folder).iterdir()):
        if child.is_dir() and not child.is_symlink() and (child / "__init__.py").exists():
            found |= packages_below(f"{package}.{child.name}", f"{folder}/{child.name}")
    return found


PACKAGE_DIR = {
    name: folder for package, root in ROOTS.items() for name, folder in packages_below(package, root).items()
}

TPU = ["jax>=0.6,<0.12", "libtpu>=0.0.20,<0.1"]
REPORT = ["jinja2>=3.1,<4"]  # charts are SVG of our own, so no matplotlib
# Qualcomm's compiler and emulator come with onnxruntime-qnn, under a licence that forbids passing them on: an extra,
# never inside tfcompress.  It is a plugin of the onnxruntime that [onnx] has, so both may be installed together.
SNAPDRAGON = ["onnxruntime-qnn>=2.6,<3", "onnx>=1.17,<2"]
ETHOS_U = ["ethos-u-vela>=5.1,<6"]
# TFLM's own interpreter; its versions are dates, and there are wheels for Linux on x86-64 alone.
MICRO = ["tflite-micro>=0.dev20260101,<1; platform_system == 'Linux' and platform_machine == 'x86_64'"]
ONNX = ["onnx>=1.17,<2", "onnxruntime>=1.24.2,<2"]
EXAMPLES = ["scikit-learn>=1.5,<2"]
SEARCH = ["optuna>=4.5,<6"]  # trial management, sampling and storage of `search`
DETECTION = ["pycocotools>=2.0.8,<3"]  # COCO's own evaluation code, which defines mean average precision
SIGN = ["cryptography>=43,<47"]  # signs manifests; the package index's and most projects' own choice
# The documentation's notebooks are run in tests as a reader runs them: by a Jupyter kernel.
NOTEBOOKS = ["nbclient>=0.10,<1", "ipykernel>=6.29,<8"]
DEV = [
    *NOTEBOOKS,
    *("pytest>=8,<10", "pytest-xdist>=3.6,<4", "hypothesis>=6.100,<7", "ruff>=0.9", "mypy>=1.14", "pyright>=1.1.390"),
    *(
        *ONNX,
        *ETHOS_U,
        *SNAPDRAGON,
        *MICRO,
    ),  # compilers and runtimes are tested for real; their tests skip without them
    *("brotli>=1.1,<2", "zstandard>=0.22,<1"),  # what packed files are measured against in benchmarks/
    "psycopg2-binary>=2.9,<3",  # drives a PostgreSQL server, one of the storages of a search
    "tensorflow-serving-api>=2.18,<2.22",  # the warm-up file is read with the server's own protos
]

setup(
    name="tfcompress",
    version=Path("tfcompress/VERSION").read_text(encoding="utf-8").strip(),
    description="Keras models to TFLite int8, Edge TPU and Cloud TPU, each proven against the float model",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="keras tensorflow tflite litert quantization pruning edge-tpu cloud-tpu model-compression",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    platforms=["Linux"],  # what the tests run on; litert-quantizer and libtpu have no Windows wheels
    python_requires=">=3.11,<3.14",
    packages=sorted(PACKAGE_DIR),
    package_dir=PACKAGE_DIR,
    package_data={
        "tfcompress": ["VERSION", "py.typed", "**/*.jinja", "**/*.css", "**/*.js"],
        "tfcompress.converters": [
            "**/*.csv",
            "**/*.bin",
            "**/*.c",
            "**/*.h",
            "**/*.js",
            "**/FORMAT.md",
            "**/samples/*.md",
        ],
    },
    install_requires=[
        "tensorflow>=2.18,<2.22",
        "tf_keras>=2.18,<2.22",  # the Keras that tfmot wraps
        "tensorflow-model-optimization>=0.8,<0.9",
        "litert-quantizer>=0.11,<0.12",  # the maintained int8 engine
        "ai-edge-litert>=2.1,<3",  # the phone's runtime
        "numpy>=1.26,<3",
        "absl-py>=1.2,<3",
        "rich>=13,<16",
    ],
    extras_require={
        "tpu": TPU,
        "report": REPORT,
        "snapdragon": SNAPDRAGON,
        "ethos_u": ETHOS_U,
        "micro": MICRO,
        "onnx": ONNX,
        "examples": EXAMPLES,
        "search": SEARCH,
        "sign": SIGN,
        "detection": DETECTION,
        "dev": DEV + SEARCH + SIGN + DETECTION,
        # Without SNAPDRAGON: its licence is the user's to accept.
        "all": [*TPU, *REPORT, *ETHOS_U, *MICRO, *ONNX, *EXAMPLES, *SEARCH, *SIGN, *DETECTION],
    },
    entry_points={"console_scripts": ["tfcompress=tfcompress.cli:run"]},
)
