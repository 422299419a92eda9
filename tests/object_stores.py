"""A real S3 server for tests (moto's, over HTTP on this machine), and what its clients need."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import fsspec
from moto.server import ThreadedMotoServer

BUCKET = "rankloop"


@contextmanager
def s3_server() -> Iterator[str]:
    """Serve an empty bucket; yield its URI, while the environment names the server."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "no_proxy": "127.0.0.1",
    }
    try:
        with patch.dict(os.environ, settings):
            _forget_clients()
            fsspec.filesystem("s3").makedirs(BUCKET, exist_ok=True)
            yield f"s3://{BUCKET}"
            _forget_clients()
    finally:
        server.stop()


def _forget_clients() -> None:
    # They are kept by their arguments, and the address is none.
    fsspec.get_filesystem_class("s3").clear_instance_cache()
