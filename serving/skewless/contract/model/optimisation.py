"""What was done to a model's graph before it was published, and what that won and cost: a part of the manifest.

Held by tests/model/publishing/test_graph_optimisation.py.
"""

from __future__ import annotations

import msgspec


class RunTiming(msgspec.Struct, frozen=True):
    """Processor time of one run in microseconds, before and after, each the median of rounds taken in turns; `ratio` is
    the median of what each round gave.
    """

    what: str
    before_us: float
    after_us: float
    ratio: float


class OptimisationRecord(msgspec.Struct, frozen=True):
    """`steps` were taken from the graph of which `original` is the SHA-256. `difference` is the greatest that they made
    to a score of the `rows` golden rows; at most `allowed`, of which 0 means equal bits.
    """

    steps: tuple[str, ...]
    original: str
    bytes_before: int
    bytes_after: int
    operators_before: int
    operators_after: int
    timings: tuple[RunTiming, ...]
    rows: int
    difference: float
    allowed: float

    def __str__(self) -> str:
        share = self.bytes_after / self.bytes_before
        timed = "; ".join(
            f"{one.what} {one.before_us:,.1f} -> {one.after_us:,.1f} us ({one.ratio:.2f})" for one in self.timings
        )
        return (
            f"{' and '.join(self.steps)}: {self.bytes_before:,} -> {self.bytes_after:,} bytes ({share:.2f}), "
            f"{self.operators_before} -> {self.operators_after} operators; {timed}; greatest difference of a score "
            f"{self.difference:.3g} on {self.rows} golden rows (allowed {self.allowed:g})"
        )
