"""HTML pages from templates, self-contained in one file. It imports nothing of the other rooms but the contract."""
