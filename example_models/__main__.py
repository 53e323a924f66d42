"""``python -m tfcompress.example_models NAME FOLDER``: train an example and save it with its data, to try things on."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tfcompress.example_models.models import EXAMPLES, train
from tfcompress.native_output import silenced


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tfcompress.example_models", description=__doc__)
    parser.add_argument("name", choices=list(EXAMPLES))
    parser.add_argument("folder", type=Path, help="where model.keras, train.npz and test.npz go")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with silenced():
        model, data = train(options.name, seed=options.seed)
        options.folder.mkdir(parents=True, exist_ok=True)
        model.save(options.folder / "model.keras")
        np.savez_compressed(options.folder / "train.npz", x=data.x_train, y=data.y_train)
        np.savez_compressed(options.folder / "test.npz", x=data.x_test, y=data.y_test)
    print(f"wrote {options.folder}: model.keras, train.npz, test.npz")


_main()
