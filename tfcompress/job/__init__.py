"""One conversion from a model to an output folder: data, attempts, report, manifest."""
