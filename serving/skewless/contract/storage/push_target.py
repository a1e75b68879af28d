"""A push target: where and how rows pushed to a view are stored; kept in the catalog beside the view's definition."""

from __future__ import annotations

import msgspec

from skewless.contract.errors import NotPushable
from skewless.contract.plan import PlanView
from skewless.contract.storage.stored_name import plain_name


class PushTarget(msgspec.Struct, frozen=True):
    """Where a view's pushed rows go offline: a folder that its table is read from, and the table's column names.

    `folder` is relative to the data folder unless it is absolute. `renamed`: the table's column of a key or feature where
    the names differ. `shared_with` are other views that read the same table. `remote` is the address of a table that
    is only read here. `also` are other definitions of the view that are stored beside this one and read the same table.
    """

    view: PlanView
    folder: str
    timestamp_field: str
    created_timestamp_column: str | None
    renamed: tuple[tuple[str, str], ...] = ()
    shared_with: tuple[str, ...] = ()
    remote: str | None = None
    also: tuple[PushTarget, ...] = ()

    @property
    def name(self) -> str:
        """The name that rows are pushed to."""
        return plain_name(self.view.stored_as)

    def column(self, name: str) -> str:
        """The table's column of a key, a feature or the mark of tombstones."""
        return dict(self.renamed).get(name, name)

    @property
    def columns(self) -> dict[str, str]:
        """The types of all columns of the table that a row of the view fills, by their names in the table."""
        view = self.view
        marks = [(view.deleted_field, "Bool")] if view.deleted_field else []
        keys, fields = [(key.key, key.dtype) for key in view.join_keys], [(f.name, f.dtype) for f in view.fields]
        times = [time for time in (self.timestamp_field, self.created_timestamp_column) if time]
        named = {self.column(name): dtype for name, dtype in (*keys, *fields, *marks)}
        return named | dict.fromkeys(times, "UnixTimestamp")

    def fills(self, other: PushTarget) -> bool:
        """Whether each row of this definition has, in the table, every column of the other one in its type."""
        return other.columns.items() <= self.columns.items()


def check_target(target: PushTarget) -> PushTarget:
    """Refuse a target that takes no pushes. Raises: NotPushable."""
    if target.remote:
        raise NotPushable(target.view.stored_as, f"its table is {target.remote}, which is read only; add rows there")
    if target.shared_with:
        others = ", ".join(target.shared_with)
        raise NotPushable(target.view.stored_as, f"its table is read by {others} too; give each view a table")
    return target


def target_field(name: str) -> bytes:
    """The catalog field of the target that rows are pushed to by this name."""
    return b"target:" + name.encode()


def target_entry(target: PushTarget) -> dict[bytes, bytes]:
    """The catalog entry of a target."""
    return {target_field(target.name): msgspec.json.encode(target, order="sorted")}


def parse_target(data: bytes) -> PushTarget | None:
    """Parse a target from the catalog; None where it does not parse."""
    try:
        return msgspec.json.decode(data, type=PushTarget)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
