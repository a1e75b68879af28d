"""Coming from Feast: a repository that is moved or looked at, and the rows of its online store. It imports `arguments`, `results`
and `session` of the Python API.
"""
