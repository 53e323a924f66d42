"""Detection: boxes with a class and a score, judged by mean average precision as COCO defines it."""

from tfcompress.accuracy_diff.detection.decoding import DECODERS, Decoder, decoder_of
from tfcompress.accuracy_diff.detection.judge import DetectionJudge, name_beside
from tfcompress.accuracy_diff.detection.task import Detection

__all__ = ["DECODERS", "Decoder", "Detection", "DetectionJudge", "decoder_of", "name_beside"]
