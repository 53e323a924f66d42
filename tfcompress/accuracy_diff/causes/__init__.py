"""Why accuracy was lost, and the flag that repairs it."""

from tfcompress.accuracy_diff.causes.blame import blamed_histograms
from tfcompress.accuracy_diff.causes.cause import Cause, CauseKind
from tfcompress.accuracy_diff.causes.find import find_causes
from tfcompress.accuracy_diff.causes.ladder import ladder
from tfcompress.accuracy_diff.causes.suggest import Suggestion, suggest, try_suggestions

__all__ = [
    "Cause",
    "CauseKind",
    "Suggestion",
    "blamed_histograms",
    "find_causes",
    "ladder",
    "suggest",
    "try_suggestions",
]
