"""What a model from a stranger may be made of, as exact names; nothing else is let in."""
