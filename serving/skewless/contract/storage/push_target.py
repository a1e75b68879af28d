"""A push target: where and how rows pushed to a view are stored; kept in the catalog beside the view's definition."""

from __future__ import annotations

import msgspec

from skewless.contract.errors import NotPushable
from skewless.contract.plan import PlanView


class PushTarget(msgspec.Struct, frozen=True):
    """Where a view's pushed rows go offline: a folder that its table is read from, and the table's column names.

    `folder` is relative to the data folder unless it is absolute. `renamed`: the table's column of a key or feature where
    the names differ. `shared_with` are other views that read the same table. `remote` is the address of a table that
    is only read here.
    """

    view: PlanView
    folder: str
    timestamp_field: str
    created_timestamp_column: str | None
    renamed: tuple[tuple[str, str], ...] = ()
    shared_with: tuple[str, ...] = ()
    remote: str | None = None

    def column(self, name: str) -> str:
        """The table's column of a key, a feature or the mark of tombstones."""
        return dict(self.renamed).get(name, name)


def check_target(target: PushTarget) -> PushTarget:
    """Refuse a target that takes no pushes. Raises: NotPushable."""
    if target.remote:
        raise NotPushable(target.view.stored_as, f"its table is {target.remote}, which is read only; add rows there")
    if target.shared_with:
        others = ", ".join(target.shared_with)
        raise NotPushable(target.view.stored_as, f"its table is read by {others} too; give each view a table")
    return target


def target_field(stored_as: str) -> bytes:
    """The catalog field of a view's target."""
    return b"target:" + stored_as.encode()


def target_entry(target: PushTarget) -> dict[bytes, bytes]:
    """The catalog entry of a target."""
    return {target_field(target.view.stored_as): msgspec.json.encode(target, order="sorted")}


def parse_target(data: bytes) -> PushTarget | None:
    """Parse a target from the catalog; None where it does not parse."""
    try:
        return msgspec.json.decode(data, type=PushTarget)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
