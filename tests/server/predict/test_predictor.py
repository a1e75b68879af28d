from __future__ import annotations

import threading

import pytest

from skewless.server.predict import predictor
from skewless.server.predict.predictor import Predictor
from tests.services.predict_server import ROW, Live


def test_a_long_run_leaves_the_loop_to_others(live: Live, monkeypatch: pytest.MonkeyPatch):
    ran_in = []
    inline = Predictor.predict

    def watched(*given):
        ran_in.append(threading.current_thread().name)
        return inline(*given)

    monkeypatch.setattr(Predictor, "predict", watched)
    scores = live.score(ROW, ROW)["scores"]
    monkeypatch.setattr(predictor, "_LONGEST_INLINE_S", 0.0)
    assert live.score(ROW, ROW)["scores"] == scores
    assert ran_in[0] != ran_in[1]
    assert ran_in[1].rpartition("_")[0] in ("asyncio", "uvloop")
