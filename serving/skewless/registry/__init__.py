"""The registry of models as it lies in a folder or in object storage: bundles, their copies on this machine, revisions
of rollouts. It may import files and the contract; server and pipelines import it.
"""
