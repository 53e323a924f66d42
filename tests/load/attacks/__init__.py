"""Files that would run code, reach files, or take all memory or time: each made by one function, with a canary.

Every maker is called with a folder to work in and the path of the canary, a file that only the attack would make (or
whose content only the attack would read), and gives the path of the file to open.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.load.attacks.artifacts import ARTIFACTS
from tests.load.attacks.configurations import CONFIGURATIONS
from tests.load.attacks.containers import CONTAINERS
from tests.load.attacks.graphs import GRAPHS
from tests.load.attacks.packed import PACKED

Maker = Callable[[Path, Path], Path]

MODELS: Mapping[str, Maker] = {**CONFIGURATIONS, **CONTAINERS}
ALL: Mapping[str, Maker] = {**MODELS, **GRAPHS, **ARTIFACTS}

__all__ = ["ALL", "ARTIFACTS", "CONFIGURATIONS", "CONTAINERS", "GRAPHS", "MODELS", "PACKED", "Maker"]
