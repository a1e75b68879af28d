"""The contract between offline and online: admission rule, plan, values, errors. Pure functions; everyone may import
it, and it imports nothing of the other rooms.
"""
