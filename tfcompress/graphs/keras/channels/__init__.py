"""Which channels of a model depend on each other, and the model without some of them."""
