"""Boxes drawn into a picture for the report page."""

from __future__ import annotations

import numpy as np

from tfcompress.accuracy_diff.pictures import LARGEST_SIDE

__all__ = ["with_boxes"]

LOST, NEW = (0, 1, 0), (1, 0, 0)  # green: only the float model's; red: only the artifact's
_SHARES = 2.0  # boxes up to here are in shares of the picture's sides, else in pixels


def with_boxes(picture: np.ndarray, lost: np.ndarray, new: np.ndarray) -> np.ndarray:
    """A copy with the boxes that only the float model gives in green, and those that only the artifact gives in red.

    Args:
        picture: (height, width, 1 or 3); anything else comes back as it is.
        lost: [n, 4 or more] in corner form, in pixels, or in shares of the sides where no value is above 2.
        new: [m, 4 or more], the same.
    """
    if picture.ndim != 3 or picture.shape[2] not in (1, 3) or picture.dtype.kind not in "iuf":
        return picture
    drawn = np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture.copy()
    low, high = drawn.min(), drawn.max()
    height, width = drawn.shape[:2]
    pen = -(-max(height, width) // LARGEST_SIDE)  # as wide as what is left of a picture by making it small
    corners = np.concatenate([lost[:, :4], new[:, :4]]).astype(np.float64)
    if corners.size and corners.max() <= _SHARES:
        corners = corners * np.array([width, height, width, height])
    colours = [LOST] * len(lost) + [NEW] * len(new)
    for (x1, y1, x2, y2), colour in zip(np.rint(np.nan_to_num(corners)).astype(int), colours, strict=True):
        ink = np.where(np.array(colour) > 0, high, low)
        left, right = np.clip([x1, x2], 0, width - pen)
        top, bottom = np.clip([y1, y2], 0, height - pen)
        for rows, columns in (
            (slice(top, top + pen), slice(left, right + pen)),
            (slice(bottom, bottom + pen), slice(left, right + pen)),
            (slice(top, bottom + pen), slice(left, left + pen)),
            (slice(top, bottom + pen), slice(right, right + pen)),
        ):
            drawn[rows, columns] = ink
    return drawn
