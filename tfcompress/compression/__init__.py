"""Compression-aware training: pruning, clustering, quantization, distillation and their combinations."""

from tfcompress.compression.finetuning import Compressed, finetune, wrap
from tfcompress.compression.stripping import strip
from tfcompress.compression.training.training import start_strategy

__all__ = ["Compressed", "finetune", "start_strategy", "strip", "wrap"]
