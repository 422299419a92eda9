"""What people touch: Streamlit pages, the ranking component and the command line."""
