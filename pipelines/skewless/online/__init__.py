"""The online store from the pipelines' side: connections, materialization, pushes, maintenance. It imports `offline`
and what is below it.
"""
