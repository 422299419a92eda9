"""The pages, one function each; they read, call one function of labeling, and draw."""
