"""Reads of the online store that failed: single rows (an entity's row of a view) that do not decode, or the whole read.

Only requests that met an error come here. A key of `FailedReads` is the index of a lookup and of one of its fields,
which together name an entity and a view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skewless.contract.admission import FeatureStatus
from skewless.contract.errors import CorruptRow, InvalidInput, SkewlessError, UnknownSchema
from skewless.contract.model.assembler import AdmittedRows
from skewless.contract.storage.corrupt_rows import corrupt, unlisted
from skewless.contract.storage.entity_key import key_text
from skewless.contract.storage.lookup import HashLookup, OnlineRead, Places, Reply
from skewless.contract.storage.served_row import ServedBatch
from skewless.server.errors import UnreadableRows
from skewless.server.predict.predictor import Prediction

FailedReads = dict[tuple[int, int], SkewlessError]
_NOT_READ = np.uint8(FeatureStatus.NOT_READ)


def all_failed(lookups: Sequence[HashLookup], error: SkewlessError) -> FailedReads:
    """Every field of every lookup failed with `error`."""
    return {(place, field): error for place, lookup in enumerate(lookups) for field in range(len(lookup.fields))}


def without_failed(replies: Sequence[Any], lookups: Sequence[HashLookup], failed: FailedReads) -> list[Reply]:
    """The replies with None in place of every failed field."""
    pairs = zip(replies, lookups, strict=True)
    sound: list[list[bytes | None]] = [list(r) if isinstance(r, list) else [None] * len(k.fields) for r, k in pairs]
    for place, field in failed:
        sound[place][field] = None
    return [*sound]


def unreadable_rows(
    online: OnlineRead,
    lookups: Sequence[HashLookup],
    places: Places,
    replies: Sequence[Reply],
    error: CorruptRow | UnknownSchema,
) -> FailedReads:
    """The rows that cause a decoding error: those of an unknown schema, or those that are corrupt.

    Raises: `error` itself, where no row causes it.
    """
    failed: FailedReads = {}
    for views, at in zip(online.groups, places, strict=True):
        read = sorted({place for place in at if place >= 0})
        entities = [key_text(lookups[place].key) for place in read]
        for field, view in enumerate(views):
            rows = [replies[place][field] for place in read]
            causes: Mapping[int, CorruptRow] = {}
            if isinstance(error, CorruptRow):
                causes = corrupt(online.readers[view].read, rows, entities)
            elif error.view == view:
                causes = unlisted(error, rows, entities)
            failed |= {(read[index], field): cause for index, cause in causes.items()}
    if not failed:
        raise error
    return failed


def request_error(failed: FailedReads, places: Places) -> SkewlessError:
    """The error that answers a request: the store's own, or one UnreadableRows that points at each row of the request
    that needs a corrupt row.
    """
    errors = []
    for (place, _), error in sorted(failed.items(), key=lambda item: item[0]):
        if not isinstance(error, CorruptRow):
            return error
        rows = sorted({row for at in places for row, used in enumerate(at) if used == place})
        errors += [InvalidInput(f"/rows/{row}", str(error)) for row in rows]
    return UnreadableRows(tuple(errors))


def unread_mask(online: OnlineRead, places: Places, failed: FailedReads, rows: int) -> NDArray[np.bool_]:
    """Which views of n rows were not read: a mask of n x views."""
    mask = np.zeros((rows, len(online.views)), bool)
    first = 0
    for views, at in zip(online.groups, places, strict=True):
        for field in range(len(views)):
            mask[:, first + field] = [(place, field) in failed for place in at]
        first += len(views)
    return mask


def mark_unread(used: ServedBatch, mask: NDArray[np.bool_]) -> ServedBatch:
    """The batch with the status NOT_READ where `mask` is set (n x views)."""
    statuses = np.frombuffer(used.statuses, np.uint8).reshape(mask.shape)
    return used._replace(statuses=np.where(mask, _NOT_READ, statuses).tobytes())


def mark_unread_in_full(prediction: Prediction, views: Sequence[str], mask: NDArray[np.bool_]) -> Prediction:
    """`mark_unread` for a full prediction."""
    views_read = {
        view: AdmittedRows(admitted.rows, np.where(mask[:, views.index(view)], _NOT_READ, admitted.status))
        for view, admitted in prediction.served.views.items()
    }
    return replace(prediction, served=replace(prediction.served, views=views_read))
