"""Every network of the zoo, in the order of the table."""

from __future__ import annotations

from benchmarks.zoo.entry import Entry
from benchmarks.zoo.hub import HUB
from benchmarks.zoo.others import OTHERS
from benchmarks.zoo.tutorial_images import TUTORIALS_OF_IMAGES
from benchmarks.zoo.tutorial_others import OTHER_TUTORIALS
from benchmarks.zoo.vision import VISION

__all__ = ["ENTRIES"]

ENTRIES: dict[str, Entry] = {
    entry.model: entry for entry in (*HUB, *VISION, *OTHERS, *TUTORIALS_OF_IMAGES, *OTHER_TUTORIALS)
}
