"""Charts that Altair writes and checks once, and that are filled with rows whenever they are shown.

Writing a chart anew takes a page 0.05 s of the processor, and under a lock that all pages share.
"""

from typing import Any

import altair
import pandas

#: a chart as Vega-Lite's JSON
Spec = dict[str, Any]


def rows(name: str = "rows") -> Any:
    """Return what a chart that is not filled yet has for data."""
    return altair.NamedData(name=name)


def written(chart: Any) -> Spec:
    """Return an Altair chart of `rows` as JSON, checked against Vega-Lite's schema."""
    spec: Spec = chart.to_dict()
    # The look is Streamlit's, and not that of Altair's theme.
    spec.pop("config", None)
    return spec


def filled(spec: Spec, **datasets: pandas.DataFrame) -> Spec:
    """Return a chart with the datasets that it names, for `st.vega_lite_chart(None, …)`."""
    return {**spec, "datasets": datasets}
