"""One program for all chips of a topology: which arrays are split, the StableHLO that says so, and its compile proof.

    graph ──lower──> StableHLO, weights as arguments ──plan──> a dimension to split, by argument ──annotate──> artifact

``data`` gives every chip a part of the batch and all weights; ``tensor`` the whole batch and a part of the weights.
XLA puts in what the chips have to tell each other, so the results are the same for any plan (Xu et al. 2021, "GSPMD").
"""
