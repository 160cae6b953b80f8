"""Text in pictures: a font for it, and as much of it as there is room for."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TypeAlias

from PIL import ImageFont

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Tried in turn, by name in the system's own folders, for text that Pillow's embedded (Latin) font can't write.
_OTHERS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "wqy-microhei.ttc", "wqy-zenhei.ttc"),
    *("DroidSansFallbackFull.ttf", "msyh.ttc", "YuGothM.ttc", "malgun.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc"),
    *("NotoSansArabic-Regular.ttf", "NotoSansHebrew-Regular.ttf", "NotoSansDevanagari-Regular.ttf", "Nirmala.ttf"),
    *("NotoSansThai-Regular.ttf", "NotoSansBengali-Regular.ttf", "NotoSansTamil-Regular.ttf"),
    *("arial.ttf", "Arial Unicode.ttf", "unifont.ttf"),
)
_ANY_SIZE = 16


def clean(text: str) -> str:
    """Text on one line, without characters that can't be printed; lone surrogates become question marks.

    Example:
        >>> clean(" golden\\nretriever\\x07 ")
        'golden retriever'
    """
    whole = text.encode("utf-8", "replace").decode("utf-8")
    spaced = (" " if char.isspace() else char for char in whole)
    return " ".join("".join(char for char in spaced if char.isprintable()).split())


def lettered(text: str, size: int) -> tuple[str, Font]:
    """`text` on one line as it can be written, and the font that writes it.

    Pillow's embedded font, or where that lacks a character the one of the system's that lacks the fewest. Accents are
    dropped from what is missing even so, and what is missing without them is drawn as an empty box.

    Example:
        >>> lettered("tabby\\n cat", 16)[0]
        'tabby cat'
    """
    line, font = clean(text), _embedded(size)
    if _lacking(font, line):
        others = [other for name in _OTHERS if (other := _named(name, size)) is not None]
        font = min([font, *others], key=lambda candidate: len(_lacking(candidate, line)))
    lacking = _lacking(font, line)
    return "".join(unicodedata.normalize("NFKD", char)[0] if char in lacking else char for char in line), font


def undrawn(text: str) -> str:
    """The characters of a text that no font here can write, each once: they are drawn as empty boxes.

    Example:
        >>> undrawn("tabby")
        ''
    """
    line, font = lettered(text, _ANY_SIZE)
    return "".join(dict.fromkeys(char for char in line if char in _lacking(font, line)))


def shorten(text: str, width: float, font: Font, keep_end: bool = False) -> str:
    """As much of `text` as fits into `width` pixels, an ellipsis for the rest: at the end, or in the middle.

    Example:
        >>> shorten("West Highland white terrier", 100, lettered("", 16)[1])
        'West Highla…'
    """
    if font.getlength(text) <= width:
        return text

    def cut(count: int) -> str:
        tail = count // 2 if keep_end else 0
        return text[: count - tail].rstrip() + "…" + (text[-tail:] if tail else "")

    fits, too_long = 0, len(text)
    while too_long - fits > 1:  # Halving: a name may be thousands of characters long.
        middle = (fits + too_long) // 2
        fits, too_long = (middle, too_long) if font.getlength(cut(middle)) <= width else (fits, middle)
    return cut(fits)


def wrap(text: str, width: float, font: Font, lines: int = 2) -> list[str]:
    """`text` broken between words into at most `lines` lines of `width` pixels; what is left over is shortened.

    Example:
        >>> wrap("Guided Grad-CAM++ heatmap", 90, lettered("", 16)[1], lines=2)
        ['Guided', 'Grad-CAM…']
    """
    done: list[str] = []
    words = text.split(" ")
    while words and len(done) < lines - 1:
        count = 1
        while count < len(words) and font.getlength(" ".join(words[: count + 1])) <= width:
            count += 1
        done.append(shorten(" ".join(words[:count]), width, font))
        words = words[count:]
    return [*done, shorten(" ".join(words), width, font)] if words else done


@lru_cache(maxsize=32)
def _embedded(size: int) -> Font:
    return ImageFont.load_default(size)


@lru_cache(maxsize=64)
def _named(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _lacking(font: Font, text: str) -> set[str]:
    return {char for char in text if not char.isspace() and not _has(font, char)}


@lru_cache(maxsize=4096)
def _has(font: Font, char: str) -> bool:
    """Whether a font can write a character: what it can't, it draws like a code point that never means anything."""
    return bytes(font.getmask(char)) != bytes(font.getmask("\uffff"))
