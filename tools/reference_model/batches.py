"""Batches made beside the training by worker processes."""

import os
import random

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

import corpus
import tasks
import words
from config import SEED
from tokenizer import Tokenizer


class Batches(IterableDataset):
    """Endless (ids, weights), both [batch, length + 1]; each follows from its step's number alone, whatever the number of workers."""

    def __init__(self, texts, stage, first_step):
        self.texts, self.stage, self.first_step = texts, stage, first_step

    def __iter__(self):
        worker = get_worker_info()
        step = self.first_step + worker.id
        tokenizer = Tokenizer(self.texts.folder)
        names, shares = list(self.stage.mix), list(self.stage.mix.values())
        while True:
            rng = random.Random(SEED + 1000003 * step)
            source = tasks.Source(tokenizer, self.texts.prose, self.texts.vocabulary, rng)
            made = [tasks.sequence(rng.choices(names, shares)[0], source, self.stage.length) for _ in range(self.stage.batch)]
            yield tuple(torch.stack([torch.from_numpy(row) for row in column]) for column in zip(*made))
            step += worker.num_workers


class Texts:
    """What batches are made of, read once; the workers share it with the process they come from."""

    def __init__(self, folder):
        self.folder, self.prose, self.vocabulary = folder, corpus.training_prose(folder), words.training_words(folder)


def batches(texts, stage, first_step):
    torch.multiprocessing.set_sharing_strategy("file_system")
    workers = max(1, len(os.sched_getaffinity(0)) - 2)
    return iter(DataLoader(Batches(texts, stage, first_step), batch_size=None, num_workers=workers, prefetch_factor=3))
