"""How much of a join is held at a time, from a budget of bytes.

The budget covers what the join works in: the rows of a table that stream by, and the state of the spine rows that are
being answered. A spine that asks for more is answered block by block, in its order, and each block reads the table
again, as far as its times reach: nothing is spilled, since no more than a block is ever held. What comes on top is not
the join's: the interpreter with its libraries, the spine, and the result where the caller wants it whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skewless.contract.plan import Field
from skewless.contract.value_types import value_type
from skewless.runtime.settings import LEAST_JOIN_MEMORY

_KEY_ROW_BYTES = 200
"""Of a row whose keys and times stream by: these, its number, its slot, and what sorting them takes."""
_SPINE_ROW_BYTES = 160
"""Of a spine row: its slot in `Newest`, the times and place of its answer, and what sorting them takes."""
_TEXT_BYTES = 64
_READS = 2
_COPIES = 2
"""Of an answer, beside the one in the spine's order: as it was read, and put together."""


@dataclass(frozen=True, slots=True)
class JoinBounds:
    """How many rows of a table are read at once by each of the workers, for their keys and for their features; and how
    many spine rows are answered at once.
    """

    workers: int
    rows_a_batch: int
    rows_a_fetch: int
    rows_a_block: int
    spine_row_bytes: int
    streamed_bytes: int

    def expected_bytes(self, rows: int) -> int:
        """What a join of so many spine rows works in at most."""
        return min(rows, self.rows_a_block) * self.spine_row_bytes + self.streamed_bytes


def bounds(budget: int, wanted: Sequence[Sequence[Field]], workers: int) -> JoinBounds:
    """A quarter of the budget for what streams by, the rest for a block. `wanted` are the features of each view."""
    quarter = max(budget, LEAST_JOIN_MEMORY) // 4
    widths = [row_bytes(fields) for fields in wanted]
    widest = max(widths, default=0)
    a_batch = _within(quarter // workers // _KEY_ROW_BYTES, 1 << 14, 1 << 17)
    a_fetch = _within(quarter // workers // (_READS * widest + 1), 1 << 12, 1 << 16)
    spine_row = _SPINE_ROW_BYTES + sum(widths) + _COPIES * widest
    return JoinBounds(
        workers,
        rows_a_batch=a_batch,
        rows_a_fetch=a_fetch,
        rows_a_block=max(3 * quarter // spine_row, 1 << 12),
        spine_row_bytes=spine_row,
        streamed_bytes=workers * max(a_batch * _KEY_ROW_BYTES, a_fetch * _READS * widest),
    )


def row_bytes(fields: Sequence[Field]) -> int:
    """What the features of a row take in memory; texts are taken for short."""
    kinds = [value_type(field.dtype) for field in fields]
    return sum(_TEXT_BYTES if kind.text else kind.width + 1 for kind in kinds)


def _within(rows: int, least: int, most: int) -> int:
    return min(max(rows, least), most)
