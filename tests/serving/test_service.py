"""The endpoint over a real connection: what it answers, to whom, and how much it takes."""

from __future__ import annotations

import json
import select
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from spymaster.ml.model import load_scorer
from tests.serving import models
from tests.serving.running import JSON, KEY, Running, body, probabilities

AUTHORIZED = {"authorization": f"Bearer {KEY}"}
ROWS = models.vectors(3, seed=9)


@pytest.fixture
def client(service: Running) -> Iterator[httpx.Client]:
    with service.client(AUTHORIZED) as client:
        yield client


def expected(saved: Path, name: str) -> np.ndarray:
    return load_scorer(saved / name).probabilities(ROWS)


def test_each_deployment_answers_with_its_own_models_numbers(
    client: httpx.Client, saved: Path
) -> None:
    for deployment, version, name in (("blue", "1", "a"), ("green", "2", "b")):
        answer = client.post(
            "/score", content=body(ROWS), headers={"azureml-model-deployment": deployment}
        )
        assert probabilities(answer).tobytes() == expected(saved, name).tobytes()
        assert answer.headers["x-ms-model-version"] == version
        assert answer.headers["azureml-model-deployment"] == deployment
        assert answer.headers["x-ms-run-function-failed"] == "False"
        assert float(answer.headers["x-ms-run-fn-exec-ms"]) > 0
        best = expected(saved, name).argmax(axis=1)
        assert [r["prediction"] for r in answer.json()] == [
            ("BREAK", "REJECT", "CHOP")[k] for k in best
        ]


def test_a_large_batch_has_the_numbers_of_its_rows(client: httpx.Client, saved: Path) -> None:
    rows = models.vectors(300, seed=4)
    answer = client.post("/score", content=body(rows), headers={"x-ms-model-version": "2"})
    np.testing.assert_array_equal(
        probabilities(answer), load_scorer(saved / "b").probabilities(rows)
    )


def test_traffic_is_shared_out_exactly_over_a_hundred(client: httpx.Client) -> None:
    answers = [client.post("/score", content=body(ROWS)) for _ in range(100)]
    served = Counter(
        (a.headers["azureml-model-deployment"], a.headers["x-ms-model-version"]) for a in answers
    )
    assert served == {("blue", "1"): 75, ("green", "2"): 25}


def test_a_request_may_pin_a_version_and_must_name_what_is_there(client: httpx.Client) -> None:
    def ask(**headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.post("/score", content=body(ROWS), headers=names)

    for _ in range(8):
        assert ask(x_ms_model_version="2").headers["x-ms-model-version"] == "2"
    missing = ask(x_ms_model_version="7")
    assert (missing.status_code, "7" in missing.json()["message"]) == (404, True)
    assert ask(x_ms_model_version="../1").status_code == 400
    unknown = ask(azureml_model_deployment="red")
    assert unknown.status_code == 404
    assert "allowed: blue, green" in unknown.json()["message"]


def test_a_refused_request_still_tells_the_version(client: httpx.Client) -> None:
    answer = client.post("/score", content=b"{", headers={"azureml-model-deployment": "green"})
    assert (answer.status_code, answer.headers["x-ms-model-version"]) == (400, "2")


def test_without_the_key_nothing_is_scored(service: Running, client: httpx.Client) -> None:
    wrong = [
        "",
        KEY,
        f"Basic {KEY}",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        "Bearer",
        "Bearer \xe9",
    ]
    with service.client() as stranger:
        for text in wrong:
            headers = {"authorization": text.encode("latin-1")} if text else {}
            answer = stranger.post("/score", content=body(ROWS), headers={**JSON, **headers})
            assert answer.status_code == 401
            assert KEY not in answer.text
            assert stranger.get("/swagger.json", headers=headers).status_code == 401
        assert stranger.get("/").text == "Healthy"
        assert stranger.get("/healthz").status_code == 200
        assert stranger.get("/readyz").json() == {"ready": True}
    assert client.get("/readyz").json()["loaded"] == ["1", "2"]
    assert KEY not in service.log.read_text()


def test_other_paths_and_methods_are_refused_in_json(client: httpx.Client) -> None:
    assert client.get("/score").status_code == 405
    assert client.post("/").status_code == 405
    answer = client.get("/nothing")
    assert (answer.status_code, "POST /score" in answer.json()["message"]) == (404, True)


def test_swagger_describes_the_columns(client: httpx.Client) -> None:
    told = client.get("/swagger.json").json()
    properties = told["paths"]["/score"]["post"]["parameters"][0]["schema"]["properties"]
    example = properties["input_data"]["example"]
    assert tuple(example["columns"]) == models.COLUMNS
    answer = client.post("/score", content=json.dumps({"input_data": example}))
    assert probabilities(answer).shape == (1, 3)


def test_ids_come_back(client: httpx.Client) -> None:
    given = {"x-request-id": "r1", "x-ms-client-request-id": "c1"}
    answer = client.post("/score", content=body(ROWS), headers=given)
    told = [
        answer.headers[n] for n in ("x-request-id", "x-ms-request-id", "x-ms-client-request-id")
    ]
    assert told == ["r1", "c1", "c1"]
    long = client.post("/score", content=body(ROWS), headers={"x-request-id": "r" * 101})
    assert long.status_code == 431


def test_limits(client: httpx.Client) -> None:
    def status(content: bytes, **headers: str) -> int:
        return client.post("/score", content=content, headers=headers).status_code

    assert status(body(models.vectors(301))) == 400
    assert status(b" " * 3_000_001) == 413
    chunks = (b" " * 100_000 for _ in range(31))
    assert client.post("/score", content=chunks).status_code == 413
    assert status(body(ROWS), **{"content-type": "text/plain"}) == 415
    assert status(body(ROWS), **{"content-type": "application/json; charset=utf-8"}) == 200
    assert status(body(ROWS), **{"x-large": "x" * 9_000}) == 431
    assert status(body(ROWS)) == 200


def connect(service: Running) -> socket.socket:
    host, _, port = service.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def test_slow_senders_are_told_and_cut_off(service: Running) -> None:
    begin = f"POST /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n".encode()
    half = begin + b'content-type: application/json\r\ncontent-length: 100\r\n\r\n{"input'
    slow = [connect(service) for _ in range(3)]
    for one, sent in zip(slow, (b"", begin, half), strict=True):
        one.sendall(sent)
    for one in slow:
        with one, one.makefile("rb") as answer:
            told = answer.read()
        assert told.startswith(b"HTTP/1.1 408 ")
        assert b"allowed" in told


def test_a_client_that_does_not_read_is_cut_off(service: Running) -> None:
    ask = f"GET /swagger.json HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n"
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        host, _, port = service.url.removeprefix("http://").partition(":")
        one.connect((host, int(port)))
        one.setblocking(False)
        asked = memoryview(ask.encode() * 20_000)  # more answers than the system holds
        waiting = select.poll()
        waiting.register(one, select.POLLOUT)
        ended = 0
        while not ended:
            events = waiting.poll(60_000)
            assert events, "the connection is still open"
            ended = events[0][1] & (select.POLLHUP | select.POLLERR)
            if not ended:
                asked = asked[one.send(asked) :]
                waiting.modify(one, select.POLLOUT if asked else 0)
    with service.client(AUTHORIZED) as client:
        assert client.post("/score", content=body(ROWS)).status_code == 200
