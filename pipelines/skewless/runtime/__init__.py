"""What every process of the pipelines stands on: settings, errors, console, progress, and a server as a child
process. It imports `settings` and the contract, and every other room may import it.
"""
