"""What every process of the pipelines stands on: settings, errors, console and progress. It imports the contract only,
and every other room may import it.
"""
