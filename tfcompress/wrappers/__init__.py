"""Compression-aware training: pruning, clustering, quantization, distillation and their combinations."""

from tfcompress.wrappers.finetuning import Compressed, finetune, wrap
from tfcompress.wrappers.stripping import strip
from tfcompress.wrappers.training import start_strategy

__all__ = ["Compressed", "finetune", "start_strategy", "strip", "wrap"]
