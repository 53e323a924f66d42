"""Detection: boxes with a class and a score, judged by mean average precision as COCO defines it."""

from tfcompress.accuracy_diff.detection.decoding import DECODERS, Decoder, decoder_of
from tfcompress.accuracy_diff.detection.finding import are_boxes, found_decoding
from tfcompress.accuracy_diff.detection.judge import DetectionJudge, name_beside
from tfcompress.accuracy_diff.detection.task import Detection

__all__ = [
    "DECODERS",
    "Decoder",
    "Detection",
    "DetectionJudge",
    "are_boxes",
    "decoder_of",
    "found_decoding",
    "name_beside",
]
