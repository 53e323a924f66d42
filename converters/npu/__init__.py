"""What the compiled targets share: the report's mapping, a vendor's compiler in a child process, and its results kept.

`mapping` is the form that report.json has for Snapdragon and Ethos-U alike; `process` runs a compiler that may crash
or hang; `store` keeps what it made, by content; `quantization` makes the int8 file that it gets, and `inspection` takes
one from elsewhere; `facts` and `reporting` say what came of it.
"""
