"""The winning row of each entity among many packed rows, computed on whole columns by the rule `newest_wins.replaces`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from skewless.contract.storage.newest_wins import replaces
from skewless.contract.storage.row_header import biased_times


def winners(keys: pa.BinaryArray, rows: pa.BinaryArray) -> tuple[pa.BinaryArray, pa.BinaryArray]:
    """Each key once, with its winning row. All rows must be complete and of one schema."""
    coded = keys.dictionary_encode()
    codes = coded.indices.to_numpy(zero_copy_only=False)
    if len(coded.dictionary) == len(keys):
        return keys, rows
    event, created = biased_times(rows)
    order = np.lexsort((created, event, codes))
    last = np.append(codes[order][1:] != codes[order][:-1], True)
    best = order[last]
    tied = (event == event[best][codes]) & (created == created[best][codes])
    tied[best] = False
    for place in np.flatnonzero(tied).tolist():
        code = codes[place]
        if replaces(rows[place].as_py(), rows[int(best[code])].as_py()):
            best[code] = place
    chosen = pa.array(best)
    return keys.take(chosen), rows.take(chosen)
