"""The plug-ins that Feast loads by name from `feature_store.yaml`: offline store, online store, compute engine."""
