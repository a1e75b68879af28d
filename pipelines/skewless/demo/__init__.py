"""The story on real flights, the first user of the engine: from raw files to proven predictions, and the price of skew. It
may import every room but the server; nothing imports it, its verbs come in by the entry point of the extra `example`.
"""
