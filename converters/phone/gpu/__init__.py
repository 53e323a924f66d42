"""What a phone's GPU will take of a .tflite, by the public rules of LiteRT's GPU delegate: a forecast without proof.

No GPU is here to run a file, and TensorFlow 2.21's own check (`tf.lite.experimental.Analyzer`, `gpu_compatibility`)
calls every file compatible.
"""

from tfcompress.converters.phone.gpu.forecast import forecast, gpu_facts, gpu_note
from tfcompress.converters.phone.gpu.rules import RULES, Rule, reason_against

__all__ = ["RULES", "Rule", "forecast", "gpu_facts", "gpu_note", "reason_against"]
