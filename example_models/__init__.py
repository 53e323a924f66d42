"""Seeded example models that train on bundled data."""

if __name__ != "tfcompress.example_models":
    raise ImportError(
        "import tfcompress.example_models, not example_models: a second name makes a second set of classes"
    )
