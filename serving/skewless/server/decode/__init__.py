"""Packed rows to model inputs, compiled once per model. It imports the contract only."""
