"""Batch scores of a spine, and their way back into feature views. It imports the join and the contract's scorer."""
