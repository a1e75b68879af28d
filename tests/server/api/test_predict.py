from __future__ import annotations

import json
import socket

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skewless.registry.bundle_folder import open_bundle
from skewless.registry.cpu_features import processor_features
from tests.models import tiny
from tests.models.tiny_rows import MINUTE
from tests.services.http_messages import ResponseReader
from tests.services.http_problems import assert_problem
from tests.services.predict_server import PREDICT, ROW, Live
from tests.services.waiting import HANG_SECONDS

JSON = {"Content-Type": "application/json"}


def expected_score(live: Live, matrix: list[float]) -> np.float32:
    bundle = open_bundle(live.settings.models / tiny.NAME / "1.0.0", processor_features())
    return bundle.scorer.score(np.array([matrix], np.float32))[0]


def test_a_prediction(live: Live):
    body = live.score(ROW)
    assert list(body) == ["request_id", "model", "version", "served_at", "scores"]
    assert (body["model"], body["version"], body["served_at"]) == ("tiny", "1.0.0", "2013-10-01T12:00:00Z")
    swell = live.explain(ROW)["rush__swell"]["value"]
    (score,) = body["scores"]
    assert np.float32(score).tobytes() == expected_score(live, [7.25, 2**53 + 1, 12.5, 8, swell]).tobytes()
    assert float(np.float32(score)) == score


def test_features_are_told_on_request(live: Live):
    features = live.explain(ROW)
    times = {"event_timestamp": "2013-10-01T11:30:00Z", "age_seconds": 1800.0}
    assert features["delays__mean"] == {"value": 7.25, "status": "PRESENT", **times}
    assert features["delays__departures"] == {"value": 2**53 + 1, "status": "PRESENT", **times}
    assert features["planes__age"] == {
        "value": 12.5,
        "status": "PRESENT",
        "event_timestamp": "1970-01-01T00:00:00Z",
        "age_seconds": tiny.NOON / 1e6,
    }
    assert features["hour"] == {"value": 8, "status": "PRESENT"}
    assert features["rush__swell"]["status"] == "PRESENT"
    assert set(features) == {"delays__mean", "delays__departures", "planes__age", "hour", "rush__swell"}


def test_an_unknown_entity_and_a_null_key_are_not_found(live: Live):
    for tailnum in ("nobody", None):
        feature = live.explain({**ROW, "tailnum": tailnum})["planes__age"]
        assert feature == {"value": None, "status": "NOT_FOUND", "event_timestamp": None, "age_seconds": None}
        (score,) = live.score({**ROW, "tailnum": tailnum})["scores"]
        assert isinstance(score, float)


def test_a_null_input_is_null_and_a_nan_is_told_as_null(live: Live):
    features = live.explain({**ROW, "hour": None})
    assert features["hour"] == {"value": None, "status": "NULL"}
    assert features["rush__swell"] == {"value": None, "status": "NULL"}


def test_a_null_feature_in_a_present_row(live: Live):
    tiny.write_row(live.settings.redis_url, tiny.DELAYS, "LGA", {"departures": 3}, event=tiny.NOON)
    features = live.explain({**ROW, "origin": "LGA"})
    assert (features["delays__mean"]["status"], features["delays__departures"]["status"]) == ("NULL", "PRESENT")


def test_the_ttl_ends_are_included(live: Live):
    event = tiny.NOON - 30 * MINUTE
    for at, status in ((event + tiny.DELAYS.ttl_us, "PRESENT"), (event + tiny.DELAYS.ttl_us + 1, "STALE")):
        live.clock.now = at
        feature = live.explain(ROW)["delays__mean"]
        assert feature["status"] == status
        assert (feature["value"] is None) == (status == "STALE")
        assert feature["event_timestamp"] == "2013-10-01T11:30:00Z"


def test_a_row_of_the_future_is_not_served(live: Live):
    known = tiny.NOON - 29 * MINUTE  # the row's created time
    for at, status in ((known - 1, "NOT_FOUND"), (known, "PRESENT")):
        live.clock.now = at
        assert live.explain(ROW)["delays__mean"]["status"] == status


def test_a_tombstone_is_not_found(live: Live):
    tiny.write_row(live.settings.redis_url, tiny.DELAYS, "JFK", {"mean": 1.0}, event=tiny.NOON, deleted=True)
    feature = live.explain(ROW)["delays__mean"]
    assert feature == {"value": None, "status": "NOT_FOUND", "event_timestamp": None, "age_seconds": None}


def test_as_of_another_time(live: Live):
    early = live.explain(ROW, as_of="2013-10-01T11:30:59.999999Z")
    assert early["delays__mean"]["status"] == "NOT_FOUND"
    late = live.score(ROW, as_of="2014-01-01T00:00:00+01:00", explain="features")
    assert late["served_at"] == "2013-12-31T23:00:00Z"
    assert late["features"][0]["delays__mean"]["status"] == "STALE"


def test_1000_rows_in_order(live: Live):
    rows = [{"origin": ("JFK", "LGA", None)[i % 3], "tailnum": "N1", "hour": i % 24} for i in range(1000)]
    scores = live.score(*rows)["scores"]
    assert scores == [live.score(row)["scores"][0] for row in rows[:72]] * 13 + scores[936:]
    assert scores[936:] == scores[:64]


def test_a_row_of_another_schema_is_looked_up(live: Live):
    """A view that gained a feature since the model was trained, and one that lost its order."""
    fields = tiny.DELAYS.fields
    for origin, schema in (("A", (*fields, tiny.Field("new", "Bool"))), ("B", fields[::-1])):
        view = tiny.PlanView("delays", "delays", tiny.DELAYS.join_keys, schema, tiny.DELAYS.ttl_us, "created_timestamp")
        tiny.write_catalog(live.settings.redis_url, tiny.plan(delays=view))
        tiny.write_row(live.settings.redis_url, view, origin, {"mean": 2.5, "gate": "A1"}, event=tiny.NOON)
    origins = ("A", "B", "JFK")
    body = live.score(*[{**ROW, "origin": origin} for origin in origins], explain="features")
    assert [features["delays__mean"]["value"] for features in body["features"]] == [2.5, 2.5, 7.25]


def test_request_ids(live: Live):
    def answered(given: str) -> tuple[str, str]:
        answer = live.client.post(PREDICT, json={"rows": [ROW]}, headers={"X-Request-ID": given})
        return answer.headers["X-Request-ID"], answer.json()["request_id"]

    assert answered("order:1_a.B-2") == ("order:1_a.B-2",) * 2
    for strange in ("a b", "x" * 129, "<script>", ""):
        header, told = answered(strange)
        assert header == told
        assert len(header) == 32
    assert len(live.client.get("/healthz").headers["X-Request-ID"]) == 32


@pytest.mark.parametrize(
    ("body", "pointer", "reason"),
    [
        ({}, "/rows", "array of 1 to 1000"),
        ({"rows": []}, "/rows", "array of 1 to 1000"),
        ({"rows": [ROW] * 1001}, "/rows", "not 1001"),
        ({"rows": {"origin": "JFK"}}, "/rows", "array"),
        ({"rows": [ROW, 7]}, "/rows/1", "object"),
        ({"rows": [ROW], "explain": "all"}, "/explain", '"features" or "contributions"'),
        ({"rows": [ROW], "explain": ["contributions"]}, "/explain", "left out"),
        ({"rows": [ROW], "explain": ""}, "/explain", "left out"),
        ({"rows": [ROW], "a/b~c": 1}, "/a~1b~0c", "unknown"),
        ({"rows": [ROW], "as_of": "yesterday"}, "/as_of", "RFC 3339"),
        ({"rows": [ROW], "as_of": None}, "/as_of", "RFC 3339"),
        ({"rows": [ROW, {"origin": "JFK", "hour": 1}]}, "/rows/1/tailnum", "missing"),
        ({"rows": [{**ROW, "x/y": 1}]}, "/rows/0/x~1y", "unknown"),
        ({"rows": [{**ROW, "hour": "8"}]}, "/rows/0/hour", "integer"),
        ({"rows": [{**ROW, "hour": True}]}, "/rows/0/hour", "integer"),
        ({"rows": [{**ROW, "hour": 1.5}]}, "/rows/0/hour", "integer"),
        ({"rows": [{**ROW, "hour": 1.0}]}, "/rows/0/hour", "integer"),
        ({"rows": [{**ROW, "hour": 2**63}]}, "/rows/0/hour", "from -9223372036854775808"),
        ({"rows": [{**ROW, "hour": 10**30}]}, "/rows/0/hour", "integer"),
        ({"rows": [{**ROW, "hour": [1]}]}, "/rows/0/hour", "integer"),
        ({"rows": [{**ROW, "origin": 7}]}, "/rows/0/origin", "string"),
        ([], "", "object"),
    ],
)
def test_what_does_not_fit_is_named(live: Live, body: object, pointer: str, reason: str):
    answer = live.client.post(PREDICT, json=body)
    assert_problem(answer, 422, "invalid-request")
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert reason in error["detail"]


def test_several_errors_are_listed_together(live: Live):
    answer = live.predict({**ROW, "hour": "x"}, {"origin": 1, "tailnum": "N1"}, *[{}] * 50)
    pointers = [error["pointer"] for error in answer.json()["errors"]]
    assert pointers[:3] == ["/rows/0/hour", "/rows/1/origin", "/rows/1/hour"]
    assert len(pointers) == 20


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b'{"rows": [{"hour": NaN}]', b'{"rows": [Infinity}', b"[" * 5000, b'"\\ud800"'],
)
def test_what_is_not_json_is_told_so(live: Live, body: bytes):
    assert_problem(live.client.post(PREDICT, content=body, headers=JSON), 400, "malformed-body")


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_lacks_is_pointed_at(live: Live, constant: str):
    body = f'{{"rows": [{{"origin": "NaN", "tailnum": "N1", "hour": 1}}, {{"a/b": [1, {constant}]}}]}}'
    answer = live.client.post(PREDICT, content=body.encode(), headers=JSON)
    assert_problem(answer, 422, "invalid-request")
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/rows/1/a~1b/1"
    assert constant in error["detail"]


def test_a_name_twice_is_refused(live: Live):
    for body in (
        b'{"rows": [{"origin": "a:b", "tailnum": "x\\":", "hour": 1, "hour": 1}]}',
        b'{"rows": [], "rows": [{"origin": null, "tailnum": "x", "hour": 1}]}',
    ):
        answer = live.client.post(PREDICT, content=body, headers=JSON)
        assert_problem(answer, 422, "invalid-request")
        assert "twice" in answer.json()["errors"][0]["detail"]
    assert live.predict({"origin": 'a:"b\\": "', "tailnum": "x:y", "hour": 1}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_what_is_not_announced_as_json_is_415(live: Live, headers: dict[str, str]):
    assert_problem(live.client.post(PREDICT, content=b"{}", headers=headers), 415, "unsupported-body")


def test_json_may_say_its_charset(live: Live):
    headers = {"Content-Type": 'Application/JSON; charset="UTF-8"'}
    assert live.client.post(PREDICT, content=json.dumps({"rows": [ROW]}), headers=headers).status_code == 200


def test_a_body_over_the_limit_is_413(live: Live):
    limit = live.settings.max_body_bytes
    just = json.dumps({"rows": [ROW]}).encode().ljust(limit)
    assert live.client.post(PREDICT, content=just, headers=JSON).status_code == 200
    assert_problem(live.client.post(PREDICT, content=just + b" ", headers=JSON), 413, "body-too-large")


def test_a_chunked_body_is_read_up_to_the_limit_only(live: Live):
    """It is answered before it ends; the rest is thrown away, after which the connection is good again."""
    url = live.client.base_url
    with socket.create_connection((url.host, url.port), timeout=HANG_SECONDS) as connection:
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(live.settings.max_body_bytes // 0x10000 + 1):
            connection.sendall(chunk)
        responses = ResponseReader(connection)
        assert responses.read().status == 413
        connection.sendall(chunk * 8 + b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert responses.read("GET").status == 200


def test_an_unknown_model(live: Live):
    assert_problem(live.client.post("/v1/models/none/predict", json={"rows": [ROW]}), 404, "unknown-model")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ROWS = st.fixed_dictionaries({}, optional=dict.fromkeys((*ROW, "other"), ANY))
BODIES = st.fixed_dictionaries({}, optional={"rows": ANY | st.lists(ROWS, max_size=3), "explain": ANY, "as_of": ANY})


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BODIES | ANY)
def test_no_input_is_a_500(live: Live, body: object):
    """Strings in a row are fine, whatever they hold; all else is refused."""
    answer = live.client.post(PREDICT, content=json.dumps(body), headers=JSON)
    assert answer.status_code in (200, 400, 422)
    if answer.status_code != 200:
        assert answer.headers["Content-Type"] == "application/problem+json"


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_bytes_are_a_500(live: Live, body: bytes):
    assert live.client.post(PREDICT, content=body, headers=JSON).status_code in (400, 422)
