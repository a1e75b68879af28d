"""The server's own connections to Redis: single, sentinel, cluster; reads and pushed writes. It imports the contract
only.
"""
