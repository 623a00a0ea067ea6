"""Training: streams with the stated laws, the same bits after a kill, whole checkpoints."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from opal.checks import z_threshold
from opal.settings.tokens import Alphabet, Prior
from opal.synthesis.transformer import train as training
from opal.synthesis.transformer import trainer as stepping
from opal.synthesis.transformer.cached import VARIABLE, folder_of, trained
from opal.synthesis.transformer.checkpoint import Checkpoints
from opal.synthesis.transformer.config import ModelConfig, TrainConfig
from opal.synthesis.transformer.pace import Pace
from opal.synthesis.transformer.streams import (
    Batch,
    PairStream,
    Stream,
    TokenStream,
    cross_entropy,
    divergence,
)
from opal.synthesis.transformer.train import DecoderTrainer, TrainedDecoder, identity, train

ALPHABET = Alphabet.random(5, 2, key=0)
STREAM = TokenStream(ALPHABET, Prior(0.7))
PAIRS = PairStream(ALPHABET, 2, Prior(0.7, 0.1))
MODEL = ModelConfig(STREAM.vocab, context=8, width=8, depth=1, heads=2, mlp_ratio=2)
CONFIG = TrainConfig(
    steps=300, batch=16, slice=8, learning_rate=2e-2, warm_up=5, seed=3, save_every=30
)
SIZE = 2000
KEY = jax.random.key(1)


class Tree(NamedTuple):
    """Leaves whose names are not in alphabetical order."""

    last: np.ndarray
    first: list[np.ndarray]


TREE = Tree(np.arange(6, dtype=np.float32), [np.ones((2, 2), np.float32)])


@pytest.fixture(scope="module")
def uninterrupted() -> TrainedDecoder:
    return train(MODEL, CONFIG, STREAM, progress=False)


@partial(jax.jit, static_argnames=("stream", "size"))
def _drawn(stream: Stream, size: int, step: int, key: jax.Array) -> Batch:
    return stream.batch(step, size, MODEL.context, key=key)


def drawn(stream: Stream, size: int, step: int, key: jax.Array = KEY) -> Batch:
    return _drawn(stream, size, step, key)


def same(a: TrainedDecoder, b: TrainedDecoder) -> bool:
    """Whether two results are the same bit for bit."""
    pairs = zip(jax.tree.leaves(a.decoder), jax.tree.leaves(b.decoder), strict=True)
    equal = all(np.array_equal(x, y) for x, y in pairs)
    return equal and np.array_equal(a.losses, b.losses)


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize("stream", [STREAM, PAIRS], ids=["tokens", "pairs"])
def test_symbols_have_their_laws(stream: TokenStream | PairStream) -> None:
    size, length = SIZE, MODEL.context
    batch = drawn(stream, size, 3)
    laws = np.broadcast_to(batch.laws, (size, length, stream.vocab - 1)).astype(float)
    np.testing.assert_allclose(laws.sum(axis=2), 1, atol=1e-6)
    np.testing.assert_array_equal(batch.inputs[:, 0], stream.vocab - 1)
    np.testing.assert_array_equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    hits = np.eye(stream.vocab - 1)[np.asarray(batch.targets)]

    def worst(supposed: np.ndarray) -> float:
        error = np.sqrt((supposed * (1 - supposed)).sum(axis=0))
        z = np.where(error > 0, (hits - supposed).sum(axis=0) / np.maximum(error, 1e-12), 0)
        return float(np.abs(z).max())

    threshold = z_threshold(laws[0].size)
    assert worst(laws) < threshold
    assert worst(0.8 * laws + 0.2 / laws.shape[2]) > threshold
    assert (hits[laws == 0] == 0).all()


def test_pairs_alternate_and_labels_follow_their_tokens() -> None:
    batch = drawn(PAIRS, SIZE, 0)
    x, y = np.asarray(batch.targets[:, ::2]), np.asarray(batch.targets[:, 1::2])
    assert x.min() >= 0
    assert x.max() < 5
    assert set(np.unique(y)) == {5, 6}
    laws = np.asarray(batch.laws)
    assert (laws[:, ::2, 5:] == 0).all()
    assert (laws[:, 1::2, :5] == 0).all()
    for sequence in range(20):  # one law of labels for each token of a sequence
        for token in np.unique(x[sequence]):
            assert len(np.unique(laws[sequence, 1::2][x[sequence] == token], axis=0)) == 1


@pytest.mark.parametrize("stream", [STREAM, PAIRS], ids=["tokens", "pairs"])
def test_a_batch_depends_on_key_and_step_alone(stream: TokenStream | PairStream) -> None:
    whole = drawn(stream, SIZE, 4)
    np.testing.assert_array_equal(whole.targets[:6], drawn(stream, 6, 4).targets)
    for other in (drawn(stream, SIZE, 5), drawn(stream, SIZE, 4, jax.random.key(2))):
        assert (np.asarray(other.targets) != np.asarray(whole.targets)).mean() > 0.3


def test_divergence_is_the_sum_and_zero_at_the_law() -> None:
    batch = drawn(PAIRS, 6, 0)
    laws = np.asarray(batch.laws, float)
    scores = np.asarray(jax.random.normal(KEY, laws.shape))
    log_q = scores - np.log(np.exp(scores).sum(axis=2, keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.nansum(laws * (np.log(laws) - log_q), axis=2)
    found = divergence(jnp.asarray(laws), jnp.asarray(scores))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    exact = divergence(jnp.asarray(laws), jnp.log(jnp.maximum(jnp.asarray(laws), 1e-30)))
    np.testing.assert_allclose(exact, 0, atol=1e-6)
    hits = np.take_along_axis(log_q, np.asarray(batch.targets)[:, :, None], axis=2)
    assert float(cross_entropy(jnp.asarray(scores), batch.targets)) == pytest.approx(-hits.mean())


def test_the_loss_falls_towards_the_entropy(uninterrupted: TrainedDecoder) -> None:
    losses = uninterrupted.losses
    assert losses.shape == (CONFIG.steps,)
    held_out = drawn(STREAM, SIZE, 0, jax.random.key(9))
    scores = jax.jit(lambda m, t: m(t)[0])(uninterrupted.decoder, held_out.inputs)
    kl = np.asarray(divergence(held_out.laws, scores)).mean(axis=0)
    blind = np.asarray(divergence(held_out.laws, jnp.zeros_like(scores))).mean()
    assert losses[-30:].mean() < losses[:5].mean() - 0.2
    assert kl.mean() < 0.6 * blind
    assert kl[-1] < 0.8 * kl[0]  # seeds tell it about their subject


def test_bits_depend_neither_on_stretches_nor_on_x64_nor_on_the_bar(
    uninterrupted: TrainedDecoder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(training, "_SECONDS", 0.01)
    reference = np.full(MODEL.context, 0.05)
    with jax.enable_x64(False):
        again = train(MODEL, CONFIG, STREAM, reference=reference)
    assert same(again, uninterrupted)
    assert {leaf.dtype for leaf in jax.tree.leaves(again.decoder)} == {jnp.dtype("float32")}
    shown = capsys.readouterr().err
    assert re.search(r"KL 0\.\d+, regret [+-]0\.\d+, [\d,]+\s+tokens/s", shown), shown


def test_calls_and_slices_change_rounding_only(
    uninterrupted: TrainedDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stepping, "_AT_ONCE", 3)
    trainer = DecoderTrainer(MODEL, replace(CONFIG, slice=16), STREAM)
    state = trainer.advance(trainer.advance(trainer.start(), 2), 6)
    np.testing.assert_allclose(state.losses[:6], uninterrupted.losses[:6], atol=1e-4)
    assert not np.asarray(state.losses[6:]).any()
    assert int(state.step) == 6


def test_seeds_and_lengths_share_what_is_compiled(
    uninterrupted: TrainedDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stepping, "_mean_gradient", None)  # whoever compiles fails
    other = replace(CONFIG, steps=4, warm_up=2, seed=4, save_every=1)
    found = train(MODEL, other, STREAM, progress=False)
    assert found.losses.shape == (4,)
    assert (found.losses != uninterrupted.losses[:4]).all()
    with pytest.raises(TypeError, match="NoneType"):
        train(MODEL, replace(other, learning_rate=1e-2), STREAM, progress=False)


@pytest.mark.parametrize("warm_up", [0, 7])
def test_rates_are_those_of_optax(warm_up: int) -> None:
    config = TrainConfig(steps=40, warm_up=warm_up)
    highest, steps = config.learning_rate, jnp.arange(45)
    pace = Pace.of(config)
    found = jax.vmap(lambda step: pace.rate(step, highest))(steps)
    expected = optax.warmup_cosine_decay_schedule(0.0, highest, warm_up, 40)(steps)
    np.testing.assert_allclose(found, expected, atol=1e-6 * highest)
    assert found.dtype == jnp.float32
    assert float(found.max()) == pytest.approx(highest)


RUN = """
import sys
from pathlib import Path
from tests.synthesis.test_transformer_train import CONFIG, MODEL, STREAM, train
train(MODEL, CONFIG, STREAM, folder=Path(sys.argv[1]), progress=False)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(
    uninterrupted: TrainedDecoder, tmp_path: Path
) -> None:
    folder, seed = tmp_path / "run", random.SystemRandom().randrange(2**32)
    rng = random.Random(seed)
    least = 30 * rng.randint(1, 6)
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder)], cwd=Path(__file__).parents[2]
    )
    deadline = time.monotonic() + 120
    while not any(int(p.name) >= least for p in folder.glob("[0-9]*") if p.name.isdigit()):
        assert process.poll() is None, f"the run ended with {process.returncode}"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.2))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, f"seed {seed}"
    assert not (folder / str(CONFIG.steps)).exists(), f"seed {seed}"
    resumed = train(MODEL, CONFIG, STREAM, folder=folder, progress=False)
    assert same(resumed, uninterrupted), f"seed {seed}"
    steps = sorted(int(path.name) for path in folder.iterdir() if path.is_dir())
    assert steps == [CONFIG.steps - 60, CONFIG.steps - 30, CONFIG.steps]
    before = contents(folder)
    assert same(train(MODEL, CONFIG, STREAM, folder=folder, progress=False), uninterrupted)
    assert contents(folder) == before
    with pytest.raises(ValueError, match=r"another run: train.seed is 3 and not 4\. Nothing was"):
        train(MODEL, replace(CONFIG, seed=4), STREAM, folder=folder, progress=False)
    other = replace(STREAM, prior=Prior(0.8))
    with pytest.raises(ValueError, match=r"stream.prior.scale is 0.7 and not 0.8"):
        train(MODEL, CONFIG, other, folder=folder, progress=False)
    assert contents(folder) == before


def saved(folder: Path) -> Checkpoints:
    checkpoints = Checkpoints(folder, {"run": 1})
    for step in (1, 2):
        checkpoints.save(step, TREE)
    return checkpoints


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", {"run": 1}).latest(TREE) is None
    found = saved(tmp_path / "run").latest(jax.tree.map(np.zeros_like, TREE))
    assert found is not None
    jax.tree.map(np.testing.assert_array_equal, found, TREE)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
def test_a_damaged_checkpoint_is_refused_and_left(damage: Any, tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    for path in (tmp_path / "2" / "state").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            damage(path)
    before = contents(tmp_path)
    message = f"{tmp_path / '2'} is damaged (state/d/"
    with pytest.raises(ValueError, match=re.escape(message)):
        checkpoints.latest(TREE)
    assert contents(tmp_path) == before


def test_files_of_another_checkpoint_are_refused(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path / "a")
    other = Checkpoints(tmp_path / "b", {"run": 1})
    other.save(2, jax.tree.map(lambda leaf: leaf + 1, TREE))
    (tmp_path / "a" / "2" / "state").rename(tmp_path / "gone")
    (tmp_path / "b" / "2" / "state").rename(tmp_path / "a" / "2" / "state")
    with pytest.raises(ValueError, match=r"2 is damaged \(state/.* is not as written\)"):
        checkpoints.latest(TREE)
    (tmp_path / "a" / "2" / "digests.json").write_text("{")
    with pytest.raises(ValueError, match=r"2 is damaged \(digests.json: "):
        checkpoints.latest(TREE)


def test_arrays_of_another_shape_are_refused(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    with pytest.raises(ValueError, match=r"2 is damaged \(.*(?s:.)*Nothing was touched"):
        checkpoints.latest(Tree(np.zeros(6, np.float32), []))


def test_a_kill_before_the_digests_costs_one_checkpoint(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    checkpoints.save(3, jax.tree.map(lambda leaf: leaf + 1, TREE))
    (tmp_path / "3" / "digests.json").unlink()
    found = checkpoints.latest(TREE)
    assert found is not None
    np.testing.assert_array_equal(found.last, TREE.last)
    checkpoints.save(3, jax.tree.map(lambda leaf: leaf + 2, TREE))
    found = checkpoints.latest(TREE)
    assert found is not None
    np.testing.assert_array_equal(found.last, TREE.last + 2)


def test_folders_of_others_are_refused_and_left(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "generator.json").write_text('{"run": ')
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "generator.json").write_text("[1]")
    (tmp_path / "file").write_text("mine")
    saved(tmp_path / "other")
    before = contents(tmp_path)
    for name, message in {
        "notes": "must be empty or have a readable generator.json",
        "broken": "must be empty or have a readable generator.json",
        "list": "must hold the configurations of a run; got [1]",
        "file": "checkpoints need a folder",
        "other": "another run: run is 1 and not 2",
    }.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            Checkpoints(tmp_path / name, {"run": 2})
    assert contents(tmp_path) == before


def test_what_a_killed_process_began_is_no_foreign_folder(tmp_path: Path) -> None:
    (tmp_path / ".generator.json.0123456789abcdef").write_text("{")
    (tmp_path / ".generator.lock").touch()
    assert Checkpoints(tmp_path, {"run": 1}).latest(TREE) is None


def test_another_version_is_refused_with_its_name(tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "generator.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "opal": "99.0", "more": {"a": 1}}))
    before = contents(tmp_path)
    message = r"more.a is 1 and not None; opal is '99\.0' and not .* same run with opal 99\.0\."
    with pytest.raises(ValueError, match=message):
        Checkpoints(tmp_path, {"run": 1})
    assert contents(tmp_path) == before


def test_one_process_waits_for_the_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = saved(tmp_path), Checkpoints(tmp_path, {"run": 1})
    found: list[int] = []

    def work() -> None:
        with second.alone(9):
            found.append(len(list(tmp_path.glob("[0-9]*"))))

    thread = threading.Thread(target=work)
    with first.alone(9):
        thread.start()
        deadline = time.monotonic() + 60
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.002)
        first.save(3, TREE)
        assert thread.is_alive()
    thread.join(60)
    assert found == [3]
    assert caplog.messages == [f"waiting for the process that trains in {tmp_path}"]


def test_a_folder_that_cannot_be_written_is_said_before_work_starts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = f"{tmp_path / 'file' / 'run'} cannot (Not a directory). Name another one"
    with pytest.raises(OSError, match=re.escape(message)):
        train(MODEL, CONFIG, STREAM, folder=tmp_path / "file" / "run")


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of a process there")
def test_a_full_disk_leaves_the_checkpoints_before_it(tmp_path: Path) -> None:
    import resource

    large = TREE._replace(last=np.asarray(jax.random.normal(KEY, (600_000,), jnp.float32)))
    checkpoints = saved(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))  # more than pytest writes
    try:
        with pytest.raises(OSError, match=r"step 3 could not be written to .*make room"):
            checkpoints.save(3, large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    found = checkpoints.latest(TREE)
    assert found is not None
    np.testing.assert_array_equal(found.last, TREE.last)
    checkpoints.save(3, large)
    found = checkpoints.latest(large)
    assert found is not None
    np.testing.assert_array_equal(found.last, large.last)
    assert sorted(p.name for p in tmp_path.glob("[0-9]*")) == ["1", "2", "3"]


def test_a_generator_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    config = replace(CONFIG, steps=6)
    first = trained(MODEL, config, STREAM)
    for lock in tmp_path.rglob(".generator.lock"):
        lock.unlink()  # who only reads needs none
    before = contents(tmp_path)
    monkeypatch.setattr(stepping, "_advance", None)  # whoever trains again fails
    assert same(trained(MODEL, config, STREAM), first)
    assert contents(tmp_path) == before
    folders = {
        folder_of(MODEL, config, STREAM),
        folder_of(MODEL, replace(config, seed=1), STREAM),
        folder_of(replace(MODEL, width=16), config, STREAM),
        folder_of(replace(MODEL, dtype="bfloat16"), config, STREAM),
        folder_of(MODEL, config, PAIRS),
        folder_of(MODEL, config, TokenStream(Alphabet.random(5, 2, key=1), Prior(0.7))),
    }
    assert len(folders) == 6
    monkeypatch.delenv(VARIABLE)
    assert folder_of(MODEL, config, STREAM).parent.name == "generators"
    assert os.environ.get(VARIABLE) is None


def test_identities_are_of_everything() -> None:
    fields = identity(MODEL, CONFIG, PAIRS)
    assert fields["model"]["vocab"] == MODEL.vocab
    assert fields["train"]["save_every"] == 30
    assert fields["stream"]["n_labels"] == 2
    assert "dtype" not in fields["model"]
    narrow = identity(replace(MODEL, dtype="bfloat16"), CONFIG, PAIRS)
    assert narrow["model"] == {**fields["model"], "dtype": "bfloat16"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1; got 0."),
        ({"batch": 1.5}, "batch must be a whole number of at least 1; got 1.5."),
        ({"slice": 5}, "slice must divide the batch of 128 sequences; got 5."),
        ({"warm_up": 1800}, "warm_up must end before the 1800 steps do; got 1800."),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number of at least 1e-9; got"),
        ({"clip": float("nan")}, "clip must be a finite number of at least 1e-9; got nan."),
        ({"weight_decay": -1}, "weight_decay must be finite and not negative; got -1."),
        ({"seed": -1}, "seed must be a whole number of at least 0; got -1."),
        ({"save_every": 0}, "save_every must be a whole number of at least 1; got 0."),
    ],
)
def test_training_that_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TrainConfig(**fields)


def test_what_does_not_fit_is_refused_before_work_starts(tmp_path: Path) -> None:
    wrong = replace(MODEL, vocab=9)
    with pytest.raises(ValueError, match=r"the stream's 6 symbols, the beginning included; got 9"):
        train(wrong, CONFIG, STREAM, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match=r"each of the 8 positions; got shape \(3,\)"):
        train(MODEL, CONFIG, STREAM, reference=np.zeros(3))
    with pytest.raises(ValueError, match=r"n_labels must be a whole number of at least 2; got 1"):
        PairStream(ALPHABET, 1)


def test_a_loss_that_is_no_number_ends_the_run() -> None:
    wild = replace(CONFIG, learning_rate=1e37, steps=20)
    with pytest.raises(
        ValueError, match=r"the loss must stay finite; it is .* Lower learning_rate"
    ):
        train(MODEL, wild, STREAM, progress=False)
