"""Traces go to a collector that is named, and OpenTelemetry is not imported without one."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from storage.settings import load_settings
from storage.telemetry.logs import JsonFormatter
from storage.telemetry.traces import configure_traces, end_traces, span


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Run a server that keeps what is posted to it."""
    posted: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            posted.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            return None

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", posted
    server.shutdown()
    thread.join()
    server.server_close()


def test_spans_arrive_with_their_names_and_parents(
    collector: tuple[str, list[tuple[str, bytes]]],
) -> None:
    url, posted = collector
    configure_traces(load_settings(otlp_endpoint=url), service="rankloop-test")
    try:
        with span("round", round=3):
            record = logging.makeLogRecord({"msg": "inside"})
            logged = json.loads(JsonFormatter().format(record))
            with span("ppo"):
                pass
    finally:
        end_traces()
    ((path, body),) = posted
    assert path == "/v1/traces"
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    names = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert names["service.name"] == "rankloop-test"
    inner, outer = resource.scope_spans[0].spans
    assert (inner.name, outer.name) == ("ppo", "round")
    assert inner.parent_span_id == outer.span_id
    assert [(each.key, each.value.int_value) for each in outer.attributes] == [("round", 3)]
    assert logged["trace_id"] == outer.trace_id.hex()


def test_nothing_of_it_is_imported_while_it_is_off() -> None:
    code = (
        "import sys\n"
        "from storage.settings import load_settings\n"
        "from storage.telemetry.traces import configure_traces, span, end_traces\n"
        "configure_traces(load_settings(), service='x')\n"
        "with span('a', b=1): pass\n"
        "end_traces()\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
