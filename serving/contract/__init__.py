"""The promise: everything that must be equal offline and online, in code. Pure: no Feast, web, network, dataframe."""
