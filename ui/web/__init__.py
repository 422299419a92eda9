"""The web server around Streamlit's pages: its start, its middleware, its limits."""
