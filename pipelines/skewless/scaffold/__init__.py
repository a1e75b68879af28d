"""New projects: a small shop of customers and orders, written to a folder that `skewless build` runs. It imports
`runtime` and what is below it.
"""
