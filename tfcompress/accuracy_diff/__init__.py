"""The accuracy diff: is the candidate as good as the reference, is that significant, and where was it lost.

reference = runner_for(float_model)
comparison = compare(reference, {"phone": runner_for("model.tflite")}, samples)
comparison.candidates["phone"].gate.reason
"""

from tfcompress.accuracy_diff.causes import Cause, Suggestion, ladder, suggest, try_suggestions
from tfcompress.accuracy_diff.comparison import CandidateResult, Comparison, ReferenceResult
from tfcompress.accuracy_diff.gate import Gate
from tfcompress.accuracy_diff.harness import compare
from tfcompress.accuracy_diff.opening import runner_for
from tfcompress.accuracy_diff.runners import Runner
from tfcompress.accuracy_diff.tasks import TASKS

__all__ = [
    "TASKS",
    "CandidateResult",
    "Cause",
    "Comparison",
    "Gate",
    "ReferenceResult",
    "Runner",
    "Suggestion",
    "compare",
    "ladder",
    "runner_for",
    "suggest",
    "try_suggestions",
]
