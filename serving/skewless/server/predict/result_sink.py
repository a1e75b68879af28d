"""Where the result of a request goes.

Held by tests/server/rollout/test_shadow.py.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

Result_contra = TypeVar("Result_contra", contravariant=True)


class ResultSink(Protocol[Result_contra]):
    """Gets a result or an exception: an asyncio.Future, or an exchange that writes to the socket itself."""

    def done(self) -> bool: ...

    def set_result(self, result: Result_contra, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...
