"""The look and the limits of the web server, as Streamlit options set in one place."""

import math
from typing import Any

from storage.settings import Settings
from ui.web.limits import MEBIBYTE

ACCENT = "#3a56c5"
ACCENT_DARK = "#4f6be0"

LIGHT: dict[str, Any] = {
    "primaryColor": ACCENT,
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f4f6f9",
    "textColor": "#1b1f27",
    "borderColor": "#dde2e9",
    "linkColor": ACCENT,
}
DARK: dict[str, Any] = {
    "primaryColor": ACCENT_DARK,
    "backgroundColor": "#12151b",
    "secondaryBackgroundColor": "#1b2029",
    "textColor": "#e8ebf0",
    "borderColor": "#303846",
    "linkColor": "#9db0ff",
}
SHARED: dict[str, Any] = {
    "baseRadius": "10px",
    "buttonRadius": "10px",
    "headingFontSizes": ["1.75rem", "1.3rem", "1.1rem", "1rem", "1rem", "1rem"],
    "headingFontWeights": [650, 600, 600, 600, 600, 600],
    "metricValueFontSize": "1.7rem",
    "showWidgetBorder": True,
    "chartCategoricalColors": ["#4c6be0", "#d9822b", "#2a9d8f", "#b45ad1", "#c94f5d", "#7a8699"],
}

SERVER: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    # An error in a page goes into the log, in its form, and not in colours to stdout.
    "logger.enableRich": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "minimal",
    "server.enableAgentApi": False,
    "server.enableStaticServing": False,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.maxMessageSize": 20,
    "server.showEmailPrompt": False,
    "logger.hideWelcomeMessage": True,
    "logger.level": "warning",
    # A full garbage collection after each rerun holds the GIL: it costs busy servers ten times
    # their response time.
    "runner.postScriptGC": False,
}


def streamlit_options(settings: Settings) -> dict[str, Any]:
    """Return every Streamlit option that the server sets, by its dotted name."""
    options = dict(SERVER)
    # Streamlit counts whole megabytes; a smaller limit is the server's own (`ui.web.limits`).
    options["server.maxUploadSize"] = math.ceil(settings.upload_megabytes)
    options["server.maxWidgetStateSize"] = math.ceil(settings.message_megabytes * MEBIBYTE / 1e6)
    options |= {f"theme.{name}": value for name, value in SHARED.items()}
    for side, values in (("light", LIGHT), ("dark", DARK)):
        options |= {f"theme.{side}.{name}": value for name, value in values.items()}
    return options


def apply_options(settings: Settings) -> None:
    """Set the options; call before Streamlit's app is built."""
    from streamlit import config

    options = streamlit_options(settings)
    config.get_config_options(force_reparse=True, options_from_flags=options)
