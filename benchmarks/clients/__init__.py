"""The programs in which people open artifacts, each run as its users run it, from an environment of its own."""
