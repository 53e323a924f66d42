"""Quantization-aware training: fake quantization where, and as, the int8 file quantizes."""
