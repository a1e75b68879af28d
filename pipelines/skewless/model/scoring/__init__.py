"""Batch scores of a spine, their way back into feature views, and a spine's replay over HTTP. It imports the join, the online
store and the contract's scorer.
"""
