"""Batches made beside the training by one worker process."""

import random

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

import corpus
import tasks
import words
from config import SEED
from tokenizer import Tokenizer


class Sequences(IterableDataset):
    """Endless (ids, weights) of one length; tasks drawn by the mix, reproducible from the first step's number."""

    def __init__(self, folder, mix, length, first_step):
        self.folder, self.mix, self.length, self.seed = folder, mix, length, SEED + 1000003 * first_step + length

    def __iter__(self):
        rng = random.Random(self.seed)
        source = tasks.Source(Tokenizer(self.folder), corpus.training_prose(), words.training_words(), rng)
        names, shares = list(self.mix), list(self.mix.values())
        while True:
            ids, weights = tasks.sequence(rng.choices(names, shares)[0], source, self.length)
            yield ids.astype(np.int64), weights.astype(np.float32)


def batches(folder, mix, length, batch, first_step):
    torch.multiprocessing.set_sharing_strategy("file_system")
    return iter(DataLoader(Sequences(folder, mix, length, first_step), batch_size=batch, num_workers=1, prefetch_factor=8))
