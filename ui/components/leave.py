"""Leave the page for one outside Streamlit: to sign in, or to sign out by a real form."""

import streamlit as st

_component = st.components.v2.component(
    "rankloop.leave",
    html="<form></form>",
    js="""
export default function ({ data, parentElement }) {
  const form = parentElement.querySelector("form");
  form.method = data.method;
  form.action = data.path;
  for (const [name, value] of Object.entries(data.fields)) {
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name, value });
    form.appendChild(field);
  }
  form.submit();
}
""",
)


def leave(path: str, *, method: str = "get", **fields: str) -> None:
    """Send the browser to `path` of this server and end the script run."""
    _component(key=f"leave {path}", data={"path": path, "method": method, "fields": fields})
    st.stop()
