"""OpenTelemetry traces, where the setting `otlp_endpoint` names who gets them.

Nothing of OpenTelemetry is imported while the setting is empty; then a span costs a function call.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from storage.errors import Unavailable
from storage.settings import Settings
from storage.telemetry.logs import log_context

_NOTHING: AbstractContextManager[None] = nullcontext()
_provider: Any = None


def configure_traces(settings: Settings, *, service: str) -> None:
    """Begin to send spans to `otlp_endpoint` (OTLP over HTTP); do nothing where it is empty.

    Raises `Unavailable` where OpenTelemetry is not installed.
    """
    global _provider
    if not settings.otlp_endpoint or _provider is not None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise Unavailable(
            "Setting otlp_endpoint asks for traces, but OpenTelemetry is not installed; run "
            "`pip install 'rankloop[traces]'` or unset RANKLOOP_OTLP_ENDPOINT."
        ) from error
    resource = Resource.create({"service.name": service, "rankloop.project": settings.project})
    _provider = TracerProvider(resource=resource)
    endpoint = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces"
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))


def end_traces() -> None:
    """Send what is left and stop."""
    global _provider
    provider, _provider = _provider, None
    if provider is not None:
        provider.shutdown()


def span(name: str, **attributes: str | int | float | bool) -> AbstractContextManager[None]:
    """Trace the block as a span of this name; inside it log lines carry the trace's id."""
    return _NOTHING if _provider is None else _traced(name, attributes)


@contextmanager
def _traced(name: str, attributes: dict[str, Any]) -> Iterator[None]:
    tracer = _provider.get_tracer("rankloop")
    with (
        tracer.start_as_current_span(name, attributes=attributes) as current,
        log_context(trace_id=f"{current.get_span_context().trace_id:032x}"),
    ):
        yield
