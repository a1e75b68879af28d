"""Column types and values between Arrow, Feast and JSON. It imports `files` and the contract."""
