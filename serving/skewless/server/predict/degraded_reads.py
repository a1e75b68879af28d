"""What the store did not give although it was asked: an entity's row of a view that cannot be read, or nothing at all.

Everything here lies behind an error. A `Refused` names a lookup and one of its fields, hence an entity and a view.
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
from skewless.contract.storage.entity_key import told_key
from skewless.contract.storage.lookup import HashLookup, OnlineRead, Places, Reply
from skewless.contract.storage.served_row import ServedBatch
from skewless.server.errors import UnreadableRows
from skewless.server.predict.predictor import Prediction

Refused = dict[tuple[int, int], SkewlessError]
_NOT_READ = np.uint8(FeatureStatus.NOT_READ)


def everything(lookups: Sequence[HashLookup], error: SkewlessError) -> Refused:
    """Nothing was read at all."""
    return {(place, field): error for place, lookup in enumerate(lookups) for field in range(len(lookup.fields))}


def without(replies: Sequence[Any], lookups: Sequence[HashLookup], refused: Refused) -> list[Reply]:
    """The replies as if what was refused were not there."""
    pairs = zip(replies, lookups, strict=True)
    sound: list[list[bytes | None]] = [list(r) if isinstance(r, list) else [None] * len(k.fields) for r, k in pairs]
    for place, field in refused:
        sound[place][field] = None
    return [*sound]


def culprits(
    online: OnlineRead,
    lookups: Sequence[HashLookup],
    places: Places,
    replies: Sequence[Reply],
    error: CorruptRow | UnknownSchema,
) -> Refused:
    """The rows whose schema nobody knows, or those that are corrupt. Raises the error where there are none."""
    found: Refused = {}
    for views, at in zip(online.groups, places, strict=True):
        asked = sorted({place for place in at if place >= 0})
        entities = [told_key(lookups[place].key) for place in asked]
        for field, view in enumerate(views):
            rows = [replies[place][field] for place in asked]
            guilty: Mapping[int, CorruptRow] = {}
            if isinstance(error, CorruptRow):
                guilty = corrupt(online.readers[view].read, rows, entities)
            elif error.view == view:
                guilty = unlisted(error, rows, entities)
            found |= {(asked[one], field): why for one, why in guilty.items()}
    if not found:
        raise error
    return found


def refusal(refused: Refused, places: Places) -> SkewlessError:
    """The one error of a request: where a row is at fault, each of them with the rows that need it."""
    errors = []
    for (place, _), error in sorted(refused.items(), key=lambda one: one[0]):
        if not isinstance(error, CorruptRow):
            return error
        rows = sorted({row for at in places for row, one in enumerate(at) if one == place})
        errors += [InvalidInput(f"/rows/{row}", str(error)) for row in rows]
    return UnreadableRows(tuple(errors))


def unread(online: OnlineRead, places: Places, refused: Refused, rows: int) -> NDArray[np.bool_]:
    """Which of the views of n rows were not read: n x views."""
    found = np.zeros((rows, len(online.views)), bool)
    first = 0
    for views, at in zip(online.groups, places, strict=True):
        for field in range(len(views)):
            found[:, first + field] = [(place, field) in refused for place in at]
        first += len(views)
    return found


def told(used: ServedBatch, where: NDArray[np.bool_]) -> ServedBatch:
    """What was used, with NOT_READ for what was not."""
    statuses = np.frombuffer(used.statuses, np.uint8).reshape(where.shape)
    return used._replace(statuses=np.where(where, _NOT_READ, statuses).tobytes())


def told_in_full(prediction: Prediction, views: Sequence[str], where: NDArray[np.bool_]) -> Prediction:
    """As `told`, of a prediction in full."""
    admitted = {
        view: AdmittedRows(one.rows, np.where(where[:, views.index(view)], _NOT_READ, one.status))
        for view, one in prediction.served.views.items()
    }
    return replace(prediction, served=replace(prediction.served, views=admitted))
