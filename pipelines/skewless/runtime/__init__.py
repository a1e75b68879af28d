"""What every process of the pipelines stands on: settings, errors, console and progress. It imports `settings` and the
contract, and every other room may import it.
"""
