"""English prose of Debian packages, collected once into a folder; nothing of it is committed. usage: corpus.py FOLDER

Writes FOLDER/prose.txt.xz (training), FOLDER/held_out.txt (validation) and FOLDER/words.txt (the dictionary): all that the other files
read, so that the training also runs on a machine that has none of the packages.
"""

import glob
import gzip
import html
import lzma
import os
import random
import re
import subprocess
import sys
from pathlib import Path

from config import SEED

HELD_OUT = "/usr/share/doc/debian/FAQ/debian-faq.en.txt.gz"  # package debian-faq: only for validation
DICTIONARY = "/usr/share/dict/words"  # package wamerican
PAGES = (
    "/usr/share/doc/debian-handbook/html/en-US/*.html",
    "/usr/share/debian-reference/*.en.html",
    "/usr/share/developers-reference/*.html",
    "/usr/share/doc/installation-guide-amd64/en/*.html",
    "/usr/share/doc/postgresql-doc-15/html/*.html",
    "/usr/share/doc/apache2-doc/manual/en/**/*.html",
    "/usr/share/doc/git-doc/**/*.html",
    "/usr/share/doc/sqlite3/*.html",
    "/usr/share/doc/python3.11/html/_sources/**/*.rst.txt",
    "/usr/share/perl/*/pod/*.pod",
)
DICTIONARIES = "/usr/share/dictd/*.dict.dz"  # packages dict-foldoc, dict-jargon
LEAST_CHARS = 2000  # of a document
PIECE_CHARS = 100_000  # longer documents are cut, so that the shuffle mixes them


def clean(text):
    text = re.sub(r"<(script|style|head)\b.*?</\1>", "", text, flags=re.S | re.I)
    text = html.unescape(re.sub(r"<[^>]+>", "", text))
    text = re.sub(r"[ \t\u00a0]+", " ", text)
    return re.sub(r"\n\s*\n+", "\n\n", text).strip()


def is_english(text):
    """Nearly all ASCII: manuals carry examples of other scripts, which bytes would spell out."""
    return sum(ord(c) < 128 for c in text) > 0.98 * len(text)


def documents():
    """Cleaned texts of the training packages, in a fixed order."""
    paths = dict.fromkeys(path for pattern in PAGES for path in sorted(glob.glob(pattern, recursive=True)))
    texts = [open(path, errors="ignore").read() for path in paths]
    for path in sorted(glob.glob("/usr/share/games/fortunes/*")):
        if os.path.isfile(path) and not path.endswith((".dat", ".u8")):
            texts.append(open(path, errors="ignore").read())
    for path in sorted(glob.glob(DICTIONARIES)):
        with gzip.open(path, "rt", errors="ignore") as file:
            texts.append(file.read())
    bible = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], capture_output=True, text=True, check=True).stdout
    texts.append("\n".join(re.sub(r"^\S+ ", "", bible, flags=re.M).splitlines()))
    return [text for text in dict.fromkeys(map(clean, texts)) if len(text) > LEAST_CHARS and is_english(text)]


def pieces(text):
    """A document in parts of at most PIECE_CHARS, cut between paragraphs where there are any."""
    while len(text) > PIECE_CHARS:
        cut = text.rfind("\n", PIECE_CHARS // 2, PIECE_CHARS)
        cut = cut if cut > 0 else PIECE_CHARS
        yield text[:cut]
        text = text[cut:].lstrip("\n")
    yield text


def collect(folder):
    texts = [piece for text in documents() for piece in pieces(text)]
    random.Random(SEED).shuffle(texts)
    prose = "\n\n".join(texts)
    with gzip.open(HELD_OUT, "rt", errors="ignore") as file:
        held_out = clean(file.read())
    Path(folder).mkdir(parents=True, exist_ok=True)
    with lzma.open(Path(folder) / "prose.txt.xz", "wt", encoding="utf-8") as file:
        file.write(prose)
    (Path(folder) / "held_out.txt").write_text(held_out, encoding="utf-8")
    (Path(folder) / "words.txt").write_text(Path(DICTIONARY).read_text(encoding="utf-8"), encoding="utf-8")
    print(f"{folder}: {len(texts)} pieces of prose, {len(prose):,} characters; held out {len(held_out):,}")


def training_prose(folder):
    with lzma.open(Path(folder) / "prose.txt.xz", "rt", encoding="utf-8") as file:
        return file.read()


def held_out_prose(folder):
    return (Path(folder) / "held_out.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    collect(sys.argv[1])
