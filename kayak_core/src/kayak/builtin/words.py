"""Splits texts into words, and weighs words by how much they say about a query's subject."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import chain

from kayak.builtin.english_words import COMMON_WORDS, FUNCTION_WORDS

__all__ = ["query_weight", "split_words"]

_FUNCTION_WORD_WEIGHT, _COMMON_WORD_WEIGHT, _SUBJECT_WORD_WEIGHT = 0.1, 0.4, 1.0

_ENDINGS = (
    ("ies", ("y",)),
    ("ied", ("y",)),
    ("es", ("", "e")),
    ("s", ("",)),
    ("ed", ("", "e")),
    ("ing", ("", "e")),
    ("er", ("", "e")),
    ("est", ("", "e")),
    ("ly", ("", "le")),
)
"""Regular English endings, and what may stand in their place in the base form."""

_ASCII_WORD = re.compile(r"[a-z0-9]+")
_PLAIN_TEXT = re.compile(r"[\0-\u02ff\u0370-\u0482\u1e00-\u20cf\u2100-\u2bff]*")
_PLAIN_WORD = re.compile(r"[^\W_]+")
"""For texts without combining marks and unspaced scripts (Latin, Greek, Cyrillic, symbols), several times as fast."""

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Myanmar, Khmer
    "\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
"""Scripts that are written without spaces between words, as ranges of a regular expression's character class."""


def split_words(text: str) -> list[str]:
    """Split a text into words: NFKC-normalised, case-folded runs of letters, digits and their combining marks.

    Underscores and all punctuation separate. In scripts that are written without spaces every letter stands for
    itself.
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    word = _PLAIN_WORD if _PLAIN_TEXT.fullmatch(folded) else _any_word()
    return word.findall(folded)


@cache
def _any_word() -> re.Pattern[str]:
    # `re` has no class for combining marks, without which the words of Indic scripts fall apart. Found on first use,
    # because that takes about 20 ms; no other plane has any.
    code_points = chain(range(0x300, 0x20000), range(0xE0100, 0xE0200))
    marks = "".join(mark for mark in map(chr, code_points) if unicodedata.category(mark).startswith("M"))
    return re.compile(rf"(?:[^\W_{_UNSPACED}]+[{marks}]*)+|(?![\W_])[{_UNSPACED}][{marks}]*")


def query_weight(word: str) -> float:
    """Return 1 for a word that may name the subject, less for a frequent English word, least for a function word.

    Args:
        word: in lower case, as `split_words` gives it.
    """
    if word in FUNCTION_WORDS:
        return _FUNCTION_WORD_WEIGHT
    return _COMMON_WORD_WEIGHT if _is_common(word) else _SUBJECT_WORD_WEIGHT


def _is_common(word: str) -> bool:
    if word in COMMON_WORDS:
        return True
    for ending, replacements in _ENDINGS:
        if word.endswith(ending):
            stem = word.removesuffix(ending)
            if any(stem + replacement in COMMON_WORDS for replacement in replacements):
                return True
            if stem[-1:] == stem[-2:-1] and stem[:-1] in COMMON_WORDS:  # stopped, bigger
                return True
    return False
