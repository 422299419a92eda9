"""Components that Streamlit has not: our own JavaScript behind a Python function."""
