"""What a person wrote into a model's page, between two marks: it stays when the page is made again."""

from __future__ import annotations

from pathlib import Path

BEGIN = "<!-- yours: `palletjack card` keeps everything from this line on -->"
END = "<!-- yours: up to this line -->"

UNWRITTEN = """
Nobody has written yet what this model misses, what it takes for what it is not, and where it was never tried.
It is no safety device.
"""


class CardError(ValueError):
    """A page that cannot be written; the message names the file, what was expected and what was found."""


def own_words(page: Path) -> str:
    """The text between the two marks of ``page``, to the letter; UNWRITTEN where there is no page.

    Raises CardError for a page without one pair of marks: it was not made by this command, and writing would
    lose what stands in it.
    """
    if not page.exists():
        return UNWRITTEN
    try:
        text = page.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CardError(f"{page}: expected UTF-8 text, found {error.reason}") from None
    begins, ends = text.count(BEGIN), text.count(END)
    if (begins, ends) != (1, 1) or text.index(BEGIN) > text.index(END):
        raise CardError(
            f"{page}: expected the line {BEGIN!r} once and {END!r} once after it, found {begins} and {ends}: "
            "move the page away, or put the two lines around what is to stay of it"
        )
    return text.split(BEGIN)[1].split(END)[0]


def marked(words: str) -> str:
    """``words`` between the two marks, as ``own_words`` finds them again."""
    return f"{BEGIN}{words}{END}"
