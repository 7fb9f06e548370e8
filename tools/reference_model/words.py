"""Words of which keys are made. The evaluation's words (src/texts/words.cc) and values are never used in training."""

import re
from pathlib import Path

from config import REPOSITORY


def evaluation_words():
    """The two lists of quoted words in src/texts/words.cc: first halves, second halves."""
    source = (REPOSITORY / "src/texts/words.cc").read_text()
    lists = [re.findall(r'"([a-z]+)"', body) for body in re.findall(r"= \{(.*?)\};", source, re.S)]
    if len(lists) != 2 or min(map(len, lists)) < 100:
        raise SystemExit("src/texts/words.cc: expected two lists of words")
    return lists


def training_words(folder):
    """Lower-case words of 3 to 8 letters of the dictionary (corpus.py) that are not the evaluation's."""
    held_out = {word for half in evaluation_words() for word in half}
    words = (Path(folder) / "words.txt").read_text(encoding="utf-8").split("\n")
    return [word for word in words if re.fullmatch(r"[a-z]{3,8}", word) and word not in held_out]


def training_value(random):
    while True:
        value = random.randint(10000, 99999)
        if value % 7 != 3:
            return str(value)


def evaluation_value(random):
    return str(random.randrange(10000 + (3 - 10000) % 7, 100000, 7))
