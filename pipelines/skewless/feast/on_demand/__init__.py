"""On-demand views offline and online: what they see, and what is returned of them. This room is imported by the stores of
`skewless.feast`, and imports nothing of them.
"""
