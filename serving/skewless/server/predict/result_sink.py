"""Where an answer goes that somebody waits for.

Held by tests/server/rollout/test_shadow.py.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

Result_contra = TypeVar("Result_contra", contravariant=True)


class ResultSink(Protocol[Result_contra]):
    """Where an answer goes, or why there is none: an asyncio.Future, or whoever speaks to the socket itself."""

    def done(self) -> bool: ...

    def set_result(self, result: Result_contra, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...
