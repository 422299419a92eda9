"""A tiny BERT of random weights with a tokenizer of letters: a real encoder in milliseconds."""

import string
from pathlib import Path

from transformers import BertConfig, BertModel, BertTokenizerFast, set_seed


def make_tiny_encoder(folder: Path, *, hidden: int = 16, seed: int = 0) -> Path:
    """Write model and tokenizer into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    signs = string.ascii_lowercase + string.digits + string.punctuation
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *signs, *(f"##{s}" for s in signs)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    set_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * hidden,
        initializer_range=0.3,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder
