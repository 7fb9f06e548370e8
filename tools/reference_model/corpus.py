"""English prose of Debian packages: documentation, fortunes, the King James Bible. Read at training time, never committed."""

import glob
import gzip
import html
import os
import random
import re
import subprocess

from config import SEED

HELD_OUT = "/usr/share/doc/debian/FAQ/debian-faq.en.txt.gz"  # package debian-faq: only for validation


def clean(text):
    text = html.unescape(re.sub(r"<[^>]+>", "", text))
    text = re.sub(r"[ \t]+", " ", text)
    return re.sub(r"\n\s*\n+", "\n\n", text).strip()


def documents():
    """Cleaned texts of the training packages, in a fixed order."""
    pages = sorted(glob.glob("/usr/share/doc/debian-handbook/html/en-US/*.html"))
    pages += sorted(glob.glob("/usr/share/debian-reference/*.en.html"))
    pages += sorted(glob.glob("/usr/share/developers-reference/*.html"))
    texts = [open(page, errors="ignore").read() for page in pages]
    for path in sorted(glob.glob("/usr/share/games/fortunes/*")):
        if os.path.isfile(path) and not path.endswith((".dat", ".u8")):
            texts.append(open(path, errors="ignore").read())
    bible = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], capture_output=True, text=True, check=True).stdout
    verses = re.sub(r"^\S+ ", "", bible, flags=re.M).splitlines()
    texts += ["\n".join(verses[i : i + 400]) for i in range(0, len(verses), 400)]
    return [text for text in map(clean, texts) if len(text) > 2000]


def training_prose():
    texts = documents()
    random.Random(SEED).shuffle(texts)
    return "\n\n".join(texts)


def held_out_prose():
    with gzip.open(HELD_OUT, "rt", errors="ignore") as file:
        return clean(file.read())
