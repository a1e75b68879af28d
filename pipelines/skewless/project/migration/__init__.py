"""From a Feast repository on other stores to ours: feature_store.yaml, and what will differ, counted in the tables. It imports
`repo_definitions` of its room and what is below that.
"""
