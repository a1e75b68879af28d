"""Clients that ask for predictions all the time, and what they were answered."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

CLIENTS, PAUSE_S, LONGEST_S = 4, 0.05, 120.0


@dataclass(slots=True)
class RequestLoad:
    """`models` are asked in turns, as of `now`. `answers` counts status and version by model."""

    url: str
    customers: int
    now: datetime
    models: Sequence[str]
    answers: Counter[tuple[str, int, str]] = field(default_factory=Counter, init=False)
    failures: list[str] = field(default_factory=list, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _done: threading.Event = field(default_factory=threading.Event, init=False)
    _turns: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(CLIENTS), init=False)

    @contextmanager
    def asking(self) -> Iterator[RequestLoad]:
        threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._done.set()
            for thread in threads:
                thread.join()

    @contextmanager
    def no_requests(self) -> Iterator[None]:
        """While the day of the story changes: a store that has rows of the next day answers nothing true of the day before."""
        for _ in range(CLIENTS):
            self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release(CLIENTS)

    def versions(self, model: str) -> list[str]:
        """The versions that answered for a model so far."""
        with self._lock:
            return sorted({version for name, status, version in self.answers if (name, status) == (model, 200)})

    def predict(self, client: httpx.Client, model: str, customer: int, **more: Any) -> httpx.Response:
        now = self.now
        row = {"customer_id": customer, "request_unix": int(now.replace(tzinfo=UTC).timestamp())}
        body = {"rows": [row], "as_of": f"{now.isoformat()}Z"} | more
        return client.post(f"{self.url}/v1/models/{model}/predict", json=body)

    def _ask(self, number: int) -> None:
        turn = number
        with httpx.Client(timeout=LONGEST_S) as client:
            while not self._done.wait(PAUSE_S):
                models = self.models
                model, turn = models[turn % len(models)], turn + CLIENTS + 1
                try:
                    with self._turns:
                        answer = self.predict(client, model, 1 + turn % self.customers)
                except httpx.TransportError as error:
                    self._count(model, 0, type(error).__name__, failure=repr(error))
                    continue
                version = answer.json().get("version", "") if answer.status_code == 200 else ""
                self._count(model, answer.status_code, version, failure=answer.text)

    def _count(self, model: str, status: int, version: str, *, failure: str) -> None:
        with self._lock:
            self.answers[model, status, version] += 1
            if status != 200:
                self.failures.append(f"{model}: {status} {failure}")
