"""The SentencePiece BPE of 2048 pieces: digits split, byte fallback, the newline a byte piece. usage: tokenizer.py FOLDER

Trained on prose and on words, so that keys are one to four pieces. The newline is no piece of its own: SentencePiece reads its
training text line by line, and a user-defined newline makes llama.cpp add a space after it where SentencePiece adds none.
"""

import random
import sys
import tempfile
from pathlib import Path

import numpy as np
import sentencepiece

import corpus
import words
from config import SEED, SHAPE

FIRST_ID, END_ID, UNKNOWN_ID = 1, 2, 0


def train(folder):
    rng = random.Random(SEED)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(corpus.training_prose(folder))
        vocabulary = words.training_words(folder)
        for _ in range(40000):
            first, second = rng.choice(vocabulary), rng.choice(vocabulary)
            file.write(f"\nline {first}-{second}: REGISTER_CONTENT is <{words.training_value(rng)}>")
        file.flush()
        sentencepiece.SentencePieceTrainer.train(
            input=file.name,
            model_prefix=str(Path(folder) / "tokenizer"),
            vocab_size=SHAPE.vocab,
            model_type="bpe",
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            add_dummy_prefix=True,
            max_sentence_length=20000,
            unk_id=UNKNOWN_ID,
            bos_id=FIRST_ID,
            eos_id=END_ID,
        )


class Tokenizer:
    def __init__(self, folder):
        self.folder = folder
        self.model = sentencepiece.SentencePieceProcessor(model_file=str(Path(folder) / "tokenizer.model"))
        # How many bytes of text each piece stands for.
        self.bytes = np.array(
            [1 if self.model.is_byte(i) else len(self.model.id_to_piece(i).replace("\u2581", " ").encode()) for i in range(len(self))]
        )

    def __len__(self):
        return self.model.get_piece_size()

    def encode(self, text):
        """Ids with the beginning-of-text id before them, as the engine has them."""
        return [FIRST_ID] + self.model.encode(text)

    def decode(self, ids):
        return self.model.decode([int(i) for i in ids])

    def count(self, text):
        return len(self.model.encode(text))

    def encode_weighted(self, parts):
        """parts: (text, weight) pairs; ids of the whole text and each id's weight: that of its last byte."""
        text = "".join(part for part, _ in parts)
        ids = self.model.encode(text)
        weights = np.repeat([w for _, w in parts], [len(part.encode()) for part, _ in parts])
        ends = np.cumsum(self.bytes[ids]) - 2  # the first piece begins with an added space
        if ends[-1] != len(weights) - 1:
            raise RuntimeError("tokenizer: pieces do not add up to the text")
        return np.array([FIRST_ID] + ids), np.concatenate([[0.0], weights[np.maximum(ends, 0)]])


if __name__ == "__main__":
    train(sys.argv[1])
