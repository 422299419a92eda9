"""The web server: Streamlit's ASGI app behind our sign-in, run by uvicorn in this process."""

import errno
import gc
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import ui
from labeling.projects import get_project
from storage.engine import reading
from storage.errors import Unavailable
from storage.settings import Settings
from storage.telemetry.logs import configure_web_logs
from storage.telemetry.traces import configure_traces, end_traces
from ui import process
from ui.database import open_database
from ui.figures import measured_ahead, measuring_process
from ui.web import system_limits, theme
from ui.web.limits import MEBIBYTE

if TYPE_CHECKING:
    from streamlit.starlette import App

SCRIPT = Path(ui.__file__).with_name("app.py")


def build_app() -> "App":
    """Return the ASGI app: Streamlit's pages, our own routes, the guard around both."""
    theme.apply_options(process.settings())
    from starlette.middleware import Middleware
    from streamlit.starlette import App

    from ui.api import routes as api
    from ui.components.ranking import served
    from ui.entrance import join, oidc, sign_in
    from ui.observing import routes
    from ui.observing.requests import Requests
    from ui.ranking import rank_events
    from ui.web import nothing_here
    from ui.web.guard import Guard
    from ui.web.inline_scripts import page_hashes
    from ui.web.limits import Limits
    from ui.web.packed_files import PackedFiles
    from ui.web.page_language import PageLanguage

    own = [
        *sign_in.routes(),
        *join.routes(),
        *oidc.routes(),
        *api.routes(),
        *served.routes(),
        *rank_events.routes(),
        *routes.routes(),
    ]
    return App(
        SCRIPT,
        routes=[*own, *nothing_here.routes(own)],
        middleware=[
            Middleware(Requests),
            Middleware(
                Guard,
                signed_in=sign_in.signed_in,
                issued=sign_in.issued,
                script_hashes=page_hashes(),
            ),
            Middleware(Limits, upload_megabytes=process.settings().upload_megabytes),
            Middleware(nothing_here.FilesAlone),
            Middleware(PageLanguage),
            Middleware(PackedFiles),
        ],
    )


def serve(settings: Settings, *, announce: Callable[[str], None]) -> None:
    """Run the web server until a signal ends it; `announce` gets the URL once the port is ours.

    Raises `Unavailable` where the port is taken or the database is not set up, `NotFound` where
    the project is missing.
    """
    system_limits.keep_few_heaps()
    process.configure(settings)
    configure_traces(settings, service="rankloop-web")
    open_database(settings).dispose()
    with reading(process.engine()) as session:
        get_project(session, name=settings.project)
    listener = listen(settings)
    try:
        import uvicorn

        host, port = listener.getsockname()[:2]
        config = uvicorn.Config(
            build_app(),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
            # A browser or a proxy that sends into a connection at its very end loses what it sent.
            timeout_keep_alive=settings.keep_alive_seconds,
            ws_max_size=int(settings.message_megabytes * MEBIBYTE),
            forwarded_allow_ips=settings.trusted_proxies,
        )
        # What is imported by now lives as long as the server: no collection looks at it again.
        gc.collect()
        gc.freeze()
        configure_web_logs(settings)
        system_limits.allow_many_files()
        system_limits.keep_giving_memory_back()
        announce(f"http://{'localhost' if host in ('127.0.0.1', '::1') else host}:{port}")
        measured_ahead.measure_ahead()
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
        measuring_process.end()
        end_traces()


def listen(settings: Settings) -> socket.socket:
    """Return a socket bound to the address of the settings; raise `Unavailable` saying why not."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise Unavailable(_why_not(settings, error)) from error
    return listener


def _why_not(settings: Settings, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {settings.port} is taken by another program; stop it or choose another port "
            "with RANKLOOP_PORT."
        )
    if error.errno == errno.EACCES:
        return f"Port {settings.port} may not be used by this user; choose one above 1023."
    return (
        f"The address {settings.host}:{settings.port} cannot be used ({error.strerror}); set "
        "RANKLOOP_HOST and RANKLOOP_PORT."
    )
