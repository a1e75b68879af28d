"""Durable writes of files and folders, and what is found in the file system. Server and pipelines import it; it imports
the contract.
"""
