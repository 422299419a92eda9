"""Text from people and models, as every database can store it."""


def storable(text: str) -> str:
    """Return the text without NUL and half surrogate pairs: PostgreSQL stores neither."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
