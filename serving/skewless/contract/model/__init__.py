"""A model version as a folder that proves itself: bundle, manifest, signature, scorers, transforms. It imports the
contract's top and nothing of storage or rollout.
"""
