"""The benchmark runs on a tiny size and prints what it promises; how fast is not tested."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("openai", reason="needs the extra text")

from benchmarks import llm


def test_it_prints_its_schema(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    sizes = {"requests": 12, "peer_requests": 2, "entries": 50, "repeats": 1}
    llm.main(llm.Options(json=True, latency=0.01, concurrency=4, **sizes))
    told = json.loads(capsys.readouterr().out)
    assert told["ratio"] == pytest.approx(told["requests_per_s"] / told["peer_requests_per_s"])
    for name in ("open_s", "resume_s", "samples_s", "megabytes"):
        assert told[name] > 0
    assert told["resume_s"] <= told["samples_s"]
