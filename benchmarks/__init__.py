"""Side-by-side measurements against other tools; run by hand."""
