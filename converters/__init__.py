"""Converters: one package a target, each a function from a float model to an artifact folder."""

if __name__ != "tfcompress.converters":
    raise ImportError("import tfcompress.converters, not converters: a second name makes a second set of classes")
