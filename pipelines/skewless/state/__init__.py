"""The state database: runs, watermarks, locks. It imports runtime and the contract."""
