"""The public functions besides `convert`, one module each, and the options of every command."""
