"""The pages, one function each; they read, call one function of labeling, and draw.

Not named `pages`: beside the script of the app, Streamlit would serve such a folder by itself,
each file as a page, past the navigation.
"""
