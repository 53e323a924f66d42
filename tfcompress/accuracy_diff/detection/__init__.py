"""Detection: boxes with a class and a score, judged by mean average precision as COCO defines it."""

from tfcompress.accuracy_diff.detection.decoding import DECODERS, Decoder, decoder_of
from tfcompress.accuracy_diff.detection.judge import DETECTIONS, DetectionJudge
from tfcompress.accuracy_diff.detection.task import Detection

__all__ = ["DECODERS", "DETECTIONS", "Decoder", "Detection", "DetectionJudge", "decoder_of"]
