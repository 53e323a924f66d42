"""What runs inside the other environments: ``python SCRIPT MODEL INPUTS.npz OUTPUTS.npz``; nothing of ours is there.

Arrays are stored numbers, [samples, ...], named by the position of the input or output.
"""
