"""Model files: what a file is, and reading each kind of file."""
