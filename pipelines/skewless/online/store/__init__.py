"""Connections to Redis or Valkey, the embedded server, and the writer under newest-wins. The other rooms of `online`
import it.
"""
