"""Fine-tuned classifiers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opal.bridge.text import classifiers
from opal.bridge.text.classifiers import FineTuning, fine_tune
from tests.bridge.text.short_texts import EVEN, TEXTS, Y


def test_fine_tuning_learns_repeats_itself_and_weighs(small_bert: str) -> None:
    settings = FineTuning(small_bert, epochs=30, learning_rate=1e-2, batch=6)
    first = fine_tune(TEXTS, Y, EVEN, n_classes=2, settings=settings, seed=3)
    assert first.probabilities(TEXTS).argmax(axis=1).tolist() == Y.tolist()
    assert np.mean(first.losses[-5:]) < 0.2 * np.mean(first.losses[:5])
    again = fine_tune(TEXTS, Y, EVEN, n_classes=2, settings=settings, seed=3)
    np.testing.assert_array_equal(first.probabilities(TEXTS), again.probabilities(TEXTS))
    # Each text twice, with both labels: weights alone can tell which one counts.
    twice, both = TEXTS * 2, np.concatenate([Y, 1 - Y])
    weights = np.repeat([0.9, 0.1], 12)
    rule = fine_tune(twice, both, weights, n_classes=2, settings=settings)
    assert np.mean(rule.probabilities(TEXTS).argmax(axis=1) == Y) > 0.9
    flipped = fine_tune(twice, both, weights[::-1].copy(), n_classes=2, settings=settings)
    assert np.mean(flipped.probabilities(TEXTS).argmax(axis=1) == Y) < 0.1


def test_gradients_of_parts_are_those_of_the_batch(small_bert: str, tmp_path: Path) -> None:
    """As many texts at once as fit change the sum of a step in its last digits alone."""
    transformers = pytest.importorskip("transformers", reason="needs the extra text")
    config = transformers.AutoConfig.from_pretrained(small_bert)
    # Dropout would draw other masks for other parts.
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    transformers.AutoTokenizer.from_pretrained(small_bert).save_pretrained(tmp_path)
    transformers.AutoModel.from_pretrained(small_bert, config=config).save_pretrained(tmp_path)
    settings = FineTuning(str(tmp_path), epochs=3, learning_rate=1e-2, batch=6)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(TEXTS))

    def p(settings: FineTuning) -> np.ndarray:
        rule = fine_tune(TEXTS, Y, weights, n_classes=2, settings=settings, seed=1)
        return rule.probabilities(TEXTS)

    np.testing.assert_allclose(p(replace(settings, at_once=4)), p(settings), atol=1e-4)
    assert not np.allclose(p(replace(settings, batch=4)), p(settings), atol=1e-3)


def test_a_batch_that_memory_does_not_hold_is_cut(
    small_bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra text")
    settings = FineTuning(small_bert, epochs=1, batch=12)
    whole, sizes = classifiers._logits, []

    def of_a_small_gpu(model: Any, given: Any, *, half: bool) -> Any:
        sizes.append(len(given["input_ids"]))
        if sizes[-1] > 4:
            raise torch.OutOfMemoryError("no more than four texts fit")
        return whole(model, given, half=half)

    monkeypatch.setattr(classifiers, "_logits", of_a_small_gpu)
    rule = fine_tune(TEXTS, Y, EVEN, n_classes=2, settings=settings)
    assert sizes == [12, 6, 3, 3, 3, 3]
    assert len(rule.losses) == 1


def test_fine_tuning_stops_after_an_epoch_of_good_training_f1(small_bert: str) -> None:
    settings = FineTuning(small_bert, epochs=20, learning_rate=1e-2, batch=6)
    runs = {
        limit: fine_tune(TEXTS, Y, EVEN, n_classes=2, settings=replace(settings, stop_f1=limit))
        for limit in (0.0, 0.85, 1.0)
    }
    steps = {limit: len(run.losses) for limit, run in runs.items()}
    assert steps[0.0] == 4  # two epochs of two steps
    assert 4 < steps[0.85] < steps[1.0] == 40
    # F1 exceeds .85 where at most one of twelve is wrong, and not where two are.
    right = np.reshape(runs[1.0].accuracies, (20, 2)).mean(axis=1) > 0.85
    assert steps[0.85] == 2 * (1 + right.tolist().index(True, 1))
    assert runs[0.85].losses == runs[1.0].losses[: steps[0.85]]


def test_without_a_warm_up_the_learning_rate_is_highest_at_once() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra text")
    for warm_up, share in ((0.0, 1.0), (0.5, 0.1)):
        settings = FineTuning(warm_up=warm_up, learning_rate=1e-3, epsilon=1e-6)
        optimiser, schedule = classifiers._optimiser(torch.nn.Linear(2, 2), 20, settings)
        assert schedule.get_last_lr() == pytest.approx([share * 1e-3])
        assert optimiser.defaults["eps"] == 1e-6


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"stop_f1": 1.5}, r"stop_f1 must be in \[0, 1\]; got 1.5"),
        ({"epsilon": 0.0}, r"epsilon must be in \(0, 1\)"),
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"at_once": -1}, "at_once must be at least 0; got -1"),
        ({"learning_rate": 2.0}, r"in \(0, 1\)"),
    ],
)
def test_fine_tuning_refuses(options: dict[str, float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        FineTuning(**options)  # type: ignore[arg-type]


def test_a_device_that_is_not_there_is_refused(small_bert: str) -> None:
    settings = FineTuning(small_bert, device="cuda:17")
    with pytest.raises(ValueError, match="device must be one on which torch computes"):
        fine_tune(TEXTS, Y, EVEN, n_classes=2, settings=settings)
