"""Training of wrapped models: batches, objectives, optimizers, checkpoints."""
