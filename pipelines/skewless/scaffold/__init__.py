"""New projects that `skewless build` runs: a small shop, or one over a file of events. It imports `runtime` and what is
below it.
"""
