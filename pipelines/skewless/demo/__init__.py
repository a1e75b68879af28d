"""The story on real flights: how their tables are made, the replay over HTTP, the price of skew. Nothing imports it but
the command line.
"""
