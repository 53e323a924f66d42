"""The smallest file that gives the identical .tflite back: see FORMAT.md."""

from tfcompress.converters.phone.packing.files import inspect_packed, pack, packed_bytes, unpack

__all__ = ["inspect_packed", "pack", "packed_bytes", "unpack"]
