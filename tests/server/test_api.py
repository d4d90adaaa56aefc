"""The routes, as a client sees them."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from server_models import LEVEL, daily_rows, days, models, step_rows, wave
from starlette.testclient import TestClient

from stepahead import Panel
from stepahead.server.app import create_app
from stepahead.server.problems import Problem
from stepahead.server.schema import Bulk
from stepahead.server.service import Service
from stepahead.server.store import open_store
from stepahead.server.twice import refuse_twice


def begin(client: TestClient, name: str = "a", rows: int = 6) -> Any:
    answer = client.put(f"/v1/series/{name}", json={"model": "daily", "rows": daily_rows(rows), "level": LEVEL})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_series_from_begin_to_end(client: TestClient) -> None:
    begun = begin(client)
    assert (begun["rows"], begun["cutoff"]) == (6, "2024-01-06T00:00:00")
    assert [step["ds"] for step in begun["forecast"]] == ["2024-01-07T00:00:00", "2024-01-08T00:00:00"]
    pushed = client.post("/v1/series/a/observations", json={"rows": daily_rows(3, 6)})
    assert pushed.status_code == 200
    assert pushed.json()["rows"] == 9
    assert set(pushed.json()["forecast"][0]) == {
        "ds",
        "LSTM",
        *(f"LSTM-{s}-{v}" for s in ("lo", "hi") for v in (50, 80)),
    }
    assert client.get("/v1/series/a/forecast").content == pushed.content
    whole = client.get("/v1/series/a?rows=2").json()
    assert [row["y"] for row in whole["last"]] == [row["y"] for row in daily_rows(2, 7)]
    assert (whole["target"], whole["time"], whole["columns"]) == ("y", "ds", ["load", "y"])
    assert whole["forecast"] == pushed.json()["forecast"]
    assert len(whole["hidden"]) == 4
    assert client.get("/v1/series").json()["series"] == [
        {"series": "a", "model": "daily", "cutoff": "2024-01-09T00:00:00", "rows": 9}
    ]
    assert client.delete("/v1/series/a").status_code == 204
    assert client.get("/v1/series/a/forecast").status_code == 404


def test_columns_begin_the_same_series_as_rows(client: TestClient) -> None:
    rows = daily_rows(6)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert client.put("/v1/series/b", json={"model": "daily", "columns": columns}).status_code == 201
    assert client.put("/v1/series/c", json={"model": "daily", "rows": rows[::-1]}).status_code == 201
    b, c = (client.get(f"/v1/series/{name}/forecast").json() for name in "bc")
    assert b["forecast"] == c["forecast"]


def test_without_a_history_a_series_goes_on_from_the_rows_that_the_model_learned(client: TestClient) -> None:
    answer = client.put("/v1/series/learned", json={"model": "daily"})
    assert answer.status_code == 201
    expected = models().forecasters["daily"].forecaster.stream().forecast().mean[0]
    assert [step["LSTM"] for step in answer.json()["forecast"]] == expected.tolist()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"model": "none", "rows": daily_rows(6)}, 404, "no forecaster"),
        ({"model": "word", "rows": daily_rows(6)}, 404, "no forecaster"),
        ({"model": "daily", "rows": daily_rows(2)}, 422, "window"),
        ({"model": "daily", "rows": [*daily_rows(6), daily_rows(1)[0]]}, 422, "two have the time"),
        ({"model": "daily", "columns": {"ds": ["2024-01-01"], "y": [1, 2]}}, 422, "values"),
        ({"model": "daily", "rows": daily_rows(6), "columns": {"y": [1]}}, 422, "not both"),
        ({"model": "daily", "rows": [{"load": 1, "y": 1}] * 6}, 422, "row 0"),
        ({"model": "daily", "learned": "x"}, 422, "learned"),
        ({"model": "daily", "level": [100]}, 422, "level"),
    ],
)
def test_a_history_that_cannot_be_is_refused(client: TestClient, body: Any, status: int, words: str) -> None:
    answer = client.put("/v1/series/a", json=body)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/v1/series/a").status_code == 404


def test_bulk_takes_rows_and_columns_and_tells_forecasts_when_asked(client: TestClient) -> None:
    for name in ("a", "b"):
        begin(client, name)
    rows = [row | {"series": name} for name in ("a", "b") for row in daily_rows(2, 6)]
    answer = client.post("/v1/series:push", json={"rows": rows, "forecast": True}).json()
    assert (answer["series"], answer["rows"], answer["repeated"]) == (2, 4, 0)
    assert answer["forecasts"]["a"] == client.get("/v1/series/a/forecast").json()
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    again = client.post("/v1/series:push", json={"columns": columns}).json()
    assert (again["rows"], again["repeated"], again["forecasts"]) == (0, 4, None)
    for bad in ({"rows": [{"y": 1}]}, {"rows": [{"series": 3, "y": 1}]}, {}, {"rows": rows, "columns": columns}):
        assert client.post("/v1/series:push", json=bad).status_code == 422


def test_an_idempotency_key_makes_a_retry_safe(client: TestClient) -> None:
    begin(client)
    body, key = {"rows": [{"load": 0.1, "y": 20.0}]}, {"idempotency-key": "k-1"}
    first = client.post("/v1/series/a/observations", json=body, headers=key)
    again = client.post("/v1/series/a/observations", json=body, headers=key)
    assert first.content == again.content
    assert first.json()["rows"] == client.get("/v1/series/a/forecast").json()["rows"] == 7
    other = client.post("/v1/series/a/observations", json={"rows": [{"load": 0.1, "y": 2.0}]}, headers=key)
    assert other.status_code == 422
    bad = client.post("/v1/series/a/observations", json=body, headers={"idempotency-key": "x" * 129})
    assert bad.status_code == 422


def test_an_idempotency_key_makes_a_bulk_retry_safe(client: TestClient) -> None:
    for name in ("a", "b"):
        begin(client, name)
    rows = [{"series": name, "load": 0.1, "y": 20.0} for name in ("a", "b")]  # no time: each is the next step
    body, key = {"rows": rows, "forecast": True}, {"idempotency-key": "k-1"}
    first = client.post("/v1/series:push", json=body, headers=key)
    again = client.post("/v1/series:push", json=body, headers=key)
    assert first.json()["rows"] == 2
    assert first.content == again.content
    assert [client.get(f"/v1/series/{name}/forecast").json()["rows"] for name in "ab"] == [7, 7]
    assert first.json()["forecasts"]["a"] == client.get("/v1/series/a/forecast").json()
    other = client.post("/v1/series:push", json=body | {"forecast": False}, headers=key)
    assert other.status_code == 422
    assert "another bulk push" in other.json()["detail"]
    single = client.post("/v1/series/a/observations", json={"rows": [{"load": 0.1, "y": 20.0}]}, headers=key)
    assert single.json()["rows"] == 8  # keys of the routes are apart
    bad = client.post("/v1/series:push", json=body, headers={"idempotency-key": "a b"})
    assert bad.status_code == 422


def test_the_list_of_series_comes_in_pages(client: TestClient) -> None:
    for name in ("b", "a", "é", "c"):
        begin(client, name)
    first = client.get("/v1/series?limit=2").json()
    rest = client.get("/v1/series", params={"after": first["next"]}).json()
    assert [line["series"] for line in first["series"] + rest["series"]] == ["a", "b", "c", "é"]
    assert rest["next"] is None
    assert client.get("/v1/series?limit=x").status_code == 422
    twice = client.get("/v1/series?limit=x&limit=2")
    assert (twice.status_code, twice.json()["detail"]) == (422, "the query gives 'limit' twice; give it once")


def univariate(rows: int, **more: Any) -> dict[str, Any]:
    return {"type": "univariate_time_series", "name": "x", "frequency": "D", "series": wave(rows).tolist()} | more


def forecast(client: TestClient, model: str, given: Any, **options: Any) -> Any:
    body = {"model": model, "inputs": [given], "options": {"horizon": 2} | options}
    return client.post("/v1/timeseries/forecast", json=body)


def test_kserve_forecasts_are_those_of_predict(client: TestClient) -> None:
    served = models().forecasters["daily"]
    load = np.cos(np.arange(20) / 3)
    panel = Panel.from_arrays(np.column_stack([load, wave(20)]), times=days(20), names=["load", "y"])
    expected = served.forecaster.predict(panel, level=[50])
    given = univariate(20, start_timestamp="2024-01-01", stepahead={"past": {"load": load.tolist()}})
    answer = forecast(client, "daily", given, quantiles=[0.25, 0.5, 0.75])
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["outputs"][0]["content"]
    assert found["mean_forecast"] == expected["LSTM"].to_list()
    assert found["quantiles"] == {
        "0.25": expected["LSTM-lo-50"].to_list(),
        "0.5": expected["LSTM"].to_list(),
        "0.75": expected["LSTM-hi-50"].to_list(),
    }
    assert found["start_timestamp"] == "2024-01-21T00:00:00"
    stamps = {"timestamps": [str(day) for day in days(20)], "past": {"load": load.tolist()}}
    own = forecast(client, "daily", univariate(20, stepahead=stamps)).json()["outputs"][0]["content"][0]
    assert (own["mean_forecast"], own["timestamps"]) == (found["mean_forecast"], found["timestamps"])
    both = univariate(20, series=np.column_stack([load, wave(20)]).tolist(), type="multivariate_time_series")
    multivariate = forecast(client, "daily", both).json()["outputs"][0]["content"][0]
    assert multivariate["mean_forecast"] == found["mean_forecast"]


def test_kserve_answers_hold_the_fields_of_the_protocol(client: TestClient) -> None:
    answer = forecast(client, "steps", univariate(9, start_timestamp="5"), horizon=1).json()
    assert set(answer) == {"id", "created_at", "status", "error", "model", "outputs", "usage"}
    (output,) = answer["outputs"]
    assert set(output) == {"type", "id", "status", "content", "error"}
    (content,) = output["content"]
    assert set(content) == {
        *("type", "name", "mean_forecast", "frequency", "start_timestamp", "quantiles", "timestamps"),
    }
    assert (content["start_timestamp"], len(content["mean_forecast"])) == ("14", 1)


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        (univariate(20), {"horizon": 3}, "more than the 2 steps"),
        (univariate(20), {}, "needs 'load'"),
        (univariate(20, frequency="H"), {}, "not the model's"),
        (univariate(20, frequency="often"), {}, "is not one of"),
        (univariate(20, type="multivariate_time_series"), {}, "rows with 2 numbers"),
        (univariate(20, series=[[1, 2]]), {}, "list of numbers"),
        (univariate(20, stepahead={"past": {"load": [1]}}), {}, "has 1 values"),
        (univariate(20, stepahead={"past": {"load": [1] * 20, "z": [1]}}), {}, "no input 'z'"),
        (univariate(20, stepahead={"timestamps": ["2024-01-01"], "past": {"load": [1] * 20}}), {}, "for 20 values"),
        (univariate(2, stepahead={"past": {"load": [1] * 2}}), {}, "window"),
        (univariate(20, start_timestamp="soon", stepahead={"past": {"load": [1] * 20}}), {}, "is not a time"),
        (univariate(20, more={}), {"quantiles": [1.0]}, "quantiles"),
        (
            univariate(1, series=[1.0] * 19 + [1e31], stepahead={"past": {"load": [1] * 20}}),
            {},
            "1e+31 is beyond 1e+30",
        ),
        (univariate(20, stepahead={"past": {"load": [1] * 19 + [-1e300]}}), {}, "'load' has a value beyond 1e+30"),
        (univariate(20, start_timestamp="9000-12-30", stepahead={"past": {"load": [1] * 20}}), {}, "the year 9000"),
    ],
)
def test_what_kserve_is_asked_wrongly_is_422(client: TestClient, given: Any, options: Any, words: str) -> None:
    answer = forecast(client, "daily", given, **options)
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["detail"]


def test_symbols_are_told_as_by_the_model(client: TestClient) -> None:
    word = models().symbols["word"]
    answer = client.post("/v1/symbols/word/next", json={"prefix": "hell", "k": 2}).json()
    assert [(n["symbol"], n["p"]) for n in answer["next"]] == word.next("hell", 2)
    assert np.allclose(answer["hidden"], word.hidden_states("hell"), atol=1e-4)
    assert client.post("/v1/symbols/word/complete", json={"prefix": "h", "length": 4}).json() == {
        "text": word.complete("h", 4)
    }
    scored = client.post("/v1/symbols/word/score", json={"sequence": "hello"}).json()
    assert scored["bits"][0] is None
    assert scored["total"] == pytest.approx(word.score("hello").total)
    assert client.post("/v1/symbols/word/next", json={"prefix": ""}).status_code == 422
    beyond = {"prefix": "h", "seed": 2**53 + 1}  # a double holds 2**53 in its place
    assert client.post("/v1/symbols/word/complete", json=beyond).status_code == 422
    assert client.post("/v1/symbols/daily/next", json={"prefix": "h"}).status_code == 404


def test_models_describe_themselves(client: TestClient) -> None:
    listed = {model["name"]: model for model in client.get("/v1/models").json()}
    assert listed["daily"]["columns"] == ["load", "y"]
    assert (listed["daily"]["kind"], listed["word"]["kind"]) == ("forecaster", "symbols")
    assert client.get("/v1/timeseries/models").json() == ["daily", "steps"]  # what POST /v1/timeseries/forecast takes
    assert client.get("/v2/models/daily").json()["inputs"][0]["shape"] == [-1, 2]
    assert client.get("/v2/models/word/ready").json() == {"name": "word", "ready": True}
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/models/none").status_code == 404


def test_metrics_count_requests_rows_and_coverage(client: TestClient) -> None:
    begin(client)
    client.post("/v1/series/a/observations", json={"rows": daily_rows(4, 6)})
    client.post("/v1/series/a/observations", json={"rows": [daily_rows(1, 10)[0] | {"y": 1e31}]})
    text = client.get("/metrics").text
    route = 'route="POST /v1/series/{id}/observations",status="200"'
    assert f"stepahead_request_seconds_count{{{route}}} 1.0" in text
    assert "stepahead_rows_total 10.0" in text  # 6 of the history, 4 pushed
    assert 'stepahead_pushes_total{outcome="taken"} 1.0' in text
    assert 'stepahead_pushes_total{outcome="refused"} 1.0' in text
    assert 'stepahead_series_live{model="daily"} 1.0' in text
    assert 'stepahead_coverage{level="80",model="daily"}' in text
    assert 'stepahead_series_drifting{model="daily"} 0.0' in text


def test_the_openapi_document_has_every_route_with_an_example_for_every_body(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert operation["responses"]
            if "requestBody" in operation:
                assert operation["requestBody"]["content"]["application/json"]["example"]
    names = {o["operationId"] for operations in document["paths"].values() for o in operations.values()}
    assert len(names) == sum(map(len, document["paths"].values()))


def test_watchers_see_each_row_as_it_is_committed(tmp_path: Path) -> None:
    service = Service.build(models(), open_store(str(tmp_path / "store.db")))
    with TestClient(create_app(service), base_url="http://localhost") as client:
        begin(client)
        queue = service.hub.join("a")
        client.post("/v1/series/a/observations", json={"rows": daily_rows(2, 6)})
        for row in daily_rows(2, 6):
            event = queue.get_nowait()
            assert event is not None
            name, data = event.decode().split("\n")[:2]
            told = json.loads(data.removeprefix("data: "))
            assert (name, told["row"]["y"]) == ("event: observation", row["y"])
            assert len(told["hidden"]) == 4
        client.delete("/v1/series/a")
        assert queue.get_nowait() == b"event: deleted\ndata: {}\n\n"
        assert queue.get_nowait() is None
        assert not service.hub.watched("a")


def test_a_model_of_steps_takes_rows_without_a_time(client: TestClient) -> None:
    rows = [{"y": row["y"]} for row in step_rows(6)]
    assert client.put("/v1/series/n", json={"model": "steps", "rows": rows}).json()["cutoff"] == 6
    answer = client.post("/v1/series/n/observations", json={"rows": [{"y": 1.5}]}).json()
    assert (answer["cutoff"], answer["forecast"][0]["ds"]) == (7, 8)


@pytest.mark.parametrize(
    "body",
    [
        '{"rows": [{"ds": 7, "load": 1, "y": 1, "y": 2}]}',
        '{"rows": [{"ds": 7, "load": 1, "y": 1, "\\u0079": 2}]}',
        '{"rows": [{"ds": 7, "load": 1, "y" : 1, "y"\n: 2}]}',
        '{"rows": [{"ds": 7, "load": 1, "y": 1}], "rows": [{"ds": 8, "load": 1, "y": 1}]}',
    ],
)
def test_a_name_that_is_there_twice_is_refused_and_not_won_by_the_last(client: TestClient, body: str) -> None:
    begin(client)
    stood = client.get("/v1/series/a").content
    answer = client.post("/v1/series/a/observations", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert "twice in one object; give it once" in answer.json()["detail"]
    assert client.get("/v1/series/a").content == stood


def test_a_column_that_is_there_twice_is_refused_and_texts_that_look_like_names_are_not() -> None:
    begun = msgspec.json.encode({"columns": {"a": [1.0], "b": [2.0]}})
    decoder = msgspec.json.Decoder(Bulk)
    refuse_twice(begun, decoder.decode(begun))
    twice = begun.replace(b'"b"', b'"a"')
    with pytest.raises(Problem, match="'a' twice"):
        refuse_twice(twice, decoder.decode(twice))
    odd = rb'{"rows": [{"a": ":x", "b\"": "\":", "c": null}], "forecast": true}'
    refuse_twice(odd, decoder.decode(odd))
