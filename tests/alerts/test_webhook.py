"""Webhooks before a real server: each alert until it is taken, with one key, and no secret told."""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import Any

import pytest

from spymaster.alerts.owed import Owed
from spymaster.alerts.webhook import Webhook
from spymaster.errors import ContractError
from spymaster.settings import AlertsSettings, WebhookSettings
from tests.alerts.receiver import Receiver

FAST = {"retry_first_s": 0.01, "retry_longest_s": 0.05, "timeout_s": 2.0}


def row(n: int) -> dict[str, Any]:
    return {
        "rule": "late", "subject": "ES", "at": n, "value": 7.5, "score": None, "what": "lag_s",
        "condition": "above 5", "severity": "warning", "alert_id": f"id-{n}",
    }  # fmt: skip


def posted(settings: WebhookSettings, n: int) -> tuple[list[str], Webhook]:
    """Post n alerts and wait until each is settled; their ids in the order in which they were."""
    settled: list[str] = []
    done = threading.Event()

    def taken(name: str, alert_id: str) -> None:
        settled.append(alert_id)
        if len(settled) == n:
            done.set()

    webhook = Webhook("desk", settings, taken)
    try:
        for k in range(n):
            webhook.post(f"id-{k}", b'{"n": %d}' % k)
        assert done.wait(20)
    finally:
        webhook.close()
    return settled, webhook


def test_alerts_come_in_order_with_their_key_however_often_they_are_refused() -> None:
    """503, 500, 429 and 302, then yes, over and over."""
    with Receiver(lambda n: (503, 500, 429, 302, 200)[n % 5]) as receiver:
        settled, webhook = posted(WebhookSettings(url=receiver.url, **FAST), 4)
    assert settled == [f"id-{k}" for k in range(4)]
    assert [told["n"] for told in receiver.taken] == [0, 1, 2, 3]
    keys = [(told["n"], headers["idempotency-key"]) for _, headers, told in receiver.requests]
    assert keys == [(k, f"id-{k}") for k in range(4) for _ in range(5)]
    assert (webhook.posted, webhook.given_up, webhook.waits) == (4, 0, 0)


def test_a_receiver_that_is_down_gets_its_alerts_when_it_is_back() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    settled: list[str] = []
    taken = threading.Event()

    def take(name: str, alert_id: str) -> None:
        settled.append(alert_id)
        taken.set()

    webhook = Webhook("desk", WebhookSettings(url=f"http://127.0.0.1:{port}/", **FAST), take)
    try:
        webhook.post("id-0", b"{}")
        while webhook.failures < 3:
            assert not taken.wait(0.01)
        assert webhook.last_error == "ConnectError"
        with Receiver(port=port) as receiver:
            assert taken.wait(20)
    finally:
        webhook.close()
    assert settled == ["id-0"]
    assert len(receiver.requests) == 1


def test_an_alert_is_given_up_after_its_time_and_those_behind_it_go_on() -> None:
    with Receiver(lambda n: 200 if receiver.last == "id-1" else 500) as receiver:
        settled, webhook = posted(WebhookSettings(url=receiver.url, give_up_s=0.5, **FAST), 2)
    assert settled == ["id-0", "id-1"]
    assert (webhook.posted, webhook.given_up) == (1, 1)
    assert len(receiver.requests) > 2


def test_url_and_token_come_from_the_environment_and_are_told_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # as the module leaves it
    with Receiver(lambda n: 401 if n < 2 else 200) as receiver:
        monkeypatch.setenv("HOOK_URL", receiver.url + "/T0SECRET/path")
        monkeypatch.setenv("HOOK_TOKEN", "tok-SECRET")
        settings = WebhookSettings(url_variable="HOOK_URL", secret_variable="HOOK_TOKEN", **FAST)
        _, webhook = posted(settings, 1)
    path, headers, _ = receiver.requests[-1]
    assert path == "/hook/T0SECRET/path"
    assert headers["authorization"] == "Bearer tok-SECRET"
    assert "it says 401" in caplog.text
    for text in (caplog.text, repr(webhook.__dict__.get("_url")), webhook.last_error):
        assert "SECRET" not in text


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "environment variable HOOK_URL holds no usable URL"),
        ({"HOOK_URL": "not-a-url"}, "HOOK_URL holds no URL"),
        ({"HOOK_URL": "http://a b"}, "holds no usable URL"),
        ({"HOOK_URL": "http://localhost"}, "HOOK_TOKEN holds no usable token"),
    ],
)
def test_a_secret_that_is_not_there_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = WebhookSettings(url_variable="HOOK_URL", secret_variable="HOOK_TOKEN")
    with pytest.raises(ContractError, match=told):
        Webhook("desk", settings, lambda name, alert_id: None)


def owed(url: str, **more: Any) -> Owed:
    return Owed(
        AlertsSettings(webhook={"desk": WebhookSettings(url=url, **FAST)}, **more), ["desk"]
    )


def test_what_is_owed_is_remembered_and_posted_only_when_it_may() -> None:
    with Receiver() as receiver:
        first = owed(receiver.url)
        for n in range(3):
            first.add("desk", row(n))
        first.settle([["desk", "id-1"]])
        told = first.to_json()
        first.close()
        assert receiver.requests == []
        second = owed(receiver.url)
        second.restore(told)
        second.start()
        receiver.wait(2)
        taken: list[list[str]] = []
        while len(taken) < 2:
            taken += second.told()
        second.settle(taken)
        assert (second.waiting, second.to_json()) == (0, {"desk": []})
        second.close()
    assert [(b["alert_id"], b["at_utc"]) for b in receiver.taken] == [
        ("id-0", "1970-01-01T00:00:00Z"),
        ("id-2", "1970-01-01T00:00:00Z"),
    ]
    assert receiver.taken[0]["text"].startswith("warning late: ES lag_s 7.5 (above 5)")


def test_a_webhook_that_is_owed_too_much_loses_the_oldest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = owed("http://127.0.0.1:9/", kept=2)
    for n in range(3):
        kept.add("desk", row(n))
    assert [r["alert_id"] for r in kept.to_json()["desk"]] == ["id-1", "id-2"]
    assert "drops id-0" in caplog.text
    kept.close()


@pytest.mark.parametrize("asked", ["²", "soon", "-1", "9" * 400])
def test_a_receiver_that_asks_for_patience_in_no_way_we_know_is_asked_again(asked: str) -> None:
    with Receiver(lambda n: 429 if n == 0 else 200) as receiver:
        receiver.retry_after = asked
        settled, webhook = posted(WebhookSettings(url=receiver.url, **FAST), 2)
    assert settled == ["id-0", "id-1"]
    assert len(receiver.requests) == 3
    assert webhook.posted == 2


def test_an_answer_that_nobody_foresaw_ends_no_webhook(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, failed = Webhook._try, []

    def fails_once(self: Webhook, alert_id: str, content: bytes) -> float | None:
        if not failed:
            failed.append(alert_id)
            raise ZeroDivisionError
        return real(self, alert_id, content)

    monkeypatch.setattr(Webhook, "_try", fails_once)
    with Receiver() as receiver:
        settled, _ = posted(WebhookSettings(url=receiver.url, **FAST), 2)
    assert (failed, settled) == (["id-0"], ["id-0", "id-1"])
    assert any(r.exc_info and r.exc_info[0] is ZeroDivisionError for r in caplog.records)


def test_what_is_dropped_is_not_posted_either() -> None:
    """The receiver is down until more is owed than is kept."""
    with Receiver() as receiver:
        pass
    hook = {"url": receiver.url, **FAST}
    settings = AlertsSettings.model_validate({"kept": 2, "webhook": {"desk": hook}})
    owed = Owed(settings, ["desk"])
    try:
        owed.start()
        for n in range(5):
            owed.add("desk", row(n))
        assert owed.webhooks["desk"].waits == owed.waiting == 2
        with Receiver(port=receiver.port) as back:
            back.wait(2)
            while owed.webhooks["desk"].waits:
                time.sleep(0.01)
        assert [told["alert_id"] for told in back.taken] == ["id-3", "id-4"]
    finally:
        owed.close()
