"""The predict server: how a prediction is made, now. It imports the contract and nothing of the pipelines or Feast."""
