"""The online row format: keys, packed rows, the store's catalog, newest-wins. It may import the contract's top and
model.
"""
