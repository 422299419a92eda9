"""A completions server for tests, in a thread: it speaks HTTP and samples from a real model."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import torch

from reward.generation.sampling import SamplingSettings, sample
from reward.language_models.backbone import Backbone


@dataclass
class Served:
    """What the server has, hears and is told to do wrong."""

    backbone: Backbone
    url: str = ""
    model: str = "tiny"
    delay: float = 0.0  #: seconds before each answer
    returns_ids: bool = True
    adapters: list[str] = field(default_factory=list)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    #: the Authorization header of each request, or None
    keys: list[str | None] = field(default_factory=list)
    #: status and body to answer with, instead of an answer, once each
    faults: list[tuple[int, str]] = field(default_factory=list)

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        adapter = body["model"] if body["model"] in self.adapters else None
        settings = SamplingSettings(body["max_tokens"], body["temperature"], body["top_p"])
        prompts = [body["prompt"]] * body["n"]
        torch.set_num_threads(1)
        drawn = sample(
            self.backbone, adapter, prompts, settings, seed=body["seed"], batch_size=body["n"]
        )
        choices = []
        for index, one in enumerate(drawn):
            kept = one.ids[:-1] if one.ended else one.ids
            choice = {
                "index": index,
                "text": self.backbone.tokenizer.decode(kept),
                "finish_reason": "stop" if one.ended else "length",
            }
            choices.append(choice | ({"token_ids": one.ids} if self.returns_ids else {}))
        # The client must not rely on their order.
        return {"object": "text_completion", "choices": choices[::-1]}

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, str]:
        self.requests.append((path, body))
        time.sleep(self.delay)
        if self.faults:
            return self.faults.pop(0)
        if path == "/v1/models":
            names = [{"id": self.model, "parent": None}]
            names += [{"id": name, "parent": self.model} for name in self.adapters]
            return 200, json.dumps({"object": "list", "data": names[::-1]})
        if path == "/v1/completions":
            if body["model"] not in (self.model, *self.adapters):
                return 404, f"The model {body['model']} does not exist."
            return 200, json.dumps(self.complete(body))
        if path == "/v1/load_lora_adapter":
            if body["lora_name"] in self.adapters:
                return 400, "The lora adapter has already been loaded."
            if not (Path(body["lora_path"]) / "adapter_config.json").is_file():
                return 404, "No adapter found."
            self.backbone.load_adapter(body["lora_name"], Path(body["lora_path"]))
            self.adapters.append(body["lora_name"])
            return 200, "Success: LoRA adapter added."
        if path == "/v1/unload_lora_adapter":
            self.adapters.remove(body["lora_name"])
            return 200, "Success: LoRA adapter removed."
        return 404, "Not found."


@contextmanager
def serving(backbone: Backbone) -> Iterator[Served]:
    served = Served(backbone)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _reply(self, body: dict[str, Any]) -> None:
            served.keys.append(self.headers["Authorization"])
            status, text = served.answer(self.path, body)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", text)
            self.end_headers()
            # A client that waited too long is gone.
            with suppress(ConnectionError):
                self.wfile.write(text.encode())

        def log_message(self, *args: object) -> None:
            pass

    class Server(HTTPServer):
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
