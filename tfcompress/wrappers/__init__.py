"""Compression-aware training: pruning, clustering, quantization, distillation and their combinations."""

from tfcompress.wrappers.finetuning import Compressed, finetune, wrap
from tfcompress.wrappers.stripping import strip

__all__ = ["Compressed", "finetune", "strip", "wrap"]
