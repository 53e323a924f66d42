"""Untrusted models: what a file may contain, and the process that runs what its user trusts."""
