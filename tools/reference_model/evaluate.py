"""Greedy answers and perplexity with full attention in PyTorch; only held-out words, values and prose.

usage: evaluate.py CHECKPOINT TOKENIZER_FOLDER [SAMPLES]      the table of README.md
"""

import random
import sys

import torch
import torch.nn.functional as F

import corpus
import model
import words
from config import SEED, SHAPE, WEIGHT_VALUE
from tasks import PAIRS, TASKS, Source, Text, sequence, with_prose
from tokenizer import FIRST_ID, Tokenizer


class HeldOut(Source):
    """A source of evaluation words and values and of held-out prose."""

    def __init__(self, tokenizer, rng):
        self.halves = words.evaluation_words()
        super().__init__(tokenizer, corpus.held_out_prose(tokenizer.folder), sum(self.halves, []), rng)

    def key(self):
        return "-".join(self.random.choice(half) for half in self.halves)

    def value(self):
        return words.evaluation_value(self.random)


def pairs_prompt(task, source, length):
    """As many different facts as fit, a question about one of them, the answer's beginning. Returns text and value."""
    fact, question, _ = PAIRS[task][0]
    known, text = {}, Text(source.tokenizer)
    while text.tokens < length - 60:
        key = source.key()
        if key not in known:
            known[key] = source.value()
            text.fact(fact.format(k=key, v=known[key]))
    key = source.random.choice(list(known))
    text.fact(question.format(k=key) + fact.split("{v}")[0].format(k=key).rstrip())
    return "".join(part for part, _ in text.parts), known[key]


def passkey_prompt(task, source, length):
    """The fact somewhere in held-out prose, the question at the end."""
    value, text = source.value(), Text(source.tokenizer)
    with_prose(text, source, length - 30, [f"The pass key is {value}. Remember it. {value} is the pass key.\n"], 30)
    text.fact("\nWhat is the pass key?\nThe pass key is")
    return "".join(part for part, _ in text.parts), value


def needle_prompt(task, source, length):
    """Four keys with one value each in held-out prose."""
    facts, text = {source.key(): source.value() for _ in range(4)}, Text(source.tokenizer)
    with_prose(text, source, length - 60, [f"One of the special magic numbers for {k} is: {v}.\n" for k, v in facts.items()], 60)
    key = source.random.choice(list(facts))
    text.fact(f"\nWhat is the special magic number for {key}?\nThe special magic number for {key} is:")
    return "".join(part for part, _ in text.parts), facts[key]


LENGTHS = (1024, 2048, 4096, 8192, 16384)
PROMPTS = {"lines": pairs_prompt, "kv": pairs_prompt, "passkey": passkey_prompt, "needle": needle_prompt}


@torch.no_grad()
def digits_right(net, tokenizer, prompt, value):
    """Greedy exactness: with the right digits given, is each of them the likeliest next token? The same as generating them."""
    ids = tokenizer.encode(prompt + (value if prompt.endswith("<") else " " + value))
    with model.autocast():
        hidden = net.hidden(torch.tensor([ids[:-1]], device=model.device()))[:, -5:]
        best = F.linear(hidden, net.e.weight).float().argmax(-1)[0].tolist()
    return [a == b for a, b in zip(best, ids[-5:])]


def retrieval(net, tokenizer, task, length, samples, seed=SEED):
    """Shares of right digits, of right first digits and of wholly right values; mean prompt length."""
    source = HeldOut(tokenizer, random.Random(seed))
    digits = first = exact = tokens = 0
    for _ in range(samples):
        prompt, value = PROMPTS[task](task, source, length)
        right = digits_right(net, tokenizer, prompt, value)
        digits, first, exact = digits + sum(right), first + right[0], exact + all(right)
        tokens += len(tokenizer.encode(prompt))
    return digits / samples / 5, first / samples, exact / samples, tokens / samples


@torch.no_grad()
def whole_values(net, tokenizer, task, length, samples, seed=SEED):
    """Share of wholly right values in the answers of training-like texts (tasks.py) of held-out words: every task, dense questions."""
    source = HeldOut(tokenizer, random.Random(seed))
    right = total = 0
    for _ in range(samples):
        ids, weights = sequence(task, source, length)
        ids, carries = torch.tensor(ids, device=model.device())[None], torch.tensor(weights[1:]) >= WEIGHT_VALUE
        with model.autocast():
            best = net(ids[:, :-1]).argmax(-1)[0]
        hits = (best == ids[0, 1:]).cpu()
        starts = (carries & ~torch.cat([torch.tensor([False]), carries[:-1]])).nonzero().flatten().tolist()
        for start in starts:
            end = start
            while end < len(carries) and carries[end]:
                end += 1
            right, total = right + bool(hits[start:end].all()), total + 1
    return right / max(1, total), total


@torch.no_grad()
def prose_nats(net, tokenizer, length, windows):
    """Mean cross-entropy a token of held-out prose, in windows of `length` tokens that begin anew."""
    ids = tokenizer.encode(corpus.held_out_prose(tokenizer.folder))[1 : windows * length + 1]
    ids = torch.tensor(ids, device=model.device()).view(-1, length)
    first = ids.new_tensor([FIRST_ID])
    total = 0.0
    for window in ids:
        with model.autocast():
            logits = net(torch.cat([first, window])[None, :-1])
        total += F.cross_entropy(logits[0].float(), window).item()
    return total / len(ids)


def main(checkpoint, folder, samples):
    tokenizer = Tokenizer(folder)
    net = model.load(checkpoint, SHAPE).to(model.device())
    nats = prose_nats(net, tokenizer, 1024, 48)
    print(f"held-out prose: {nats:.3f} nats a token, perplexity {2.718281828**nats:.1f}", flush=True)
    for task in PROMPTS:
        for length in LENGTHS:
            digits, first, exact, tokens = retrieval(net, tokenizer, task, length, samples, SEED + 1)
            print(f"{task:8} {tokens:6.0f} tokens: exact {exact:.3f}, digits {digits:.3f}, first {first:.3f} of {samples}", flush=True)
    for task in list(PAIRS) + [task for task in TASKS if task != "prose"]:
        for length in (512, 4096, 16384):
            right, total = whole_values(net, tokenizer, task, length, max(4, samples * 128 // length), SEED + 2)
            print(f"{task:8} {length:6} tokens, dense: whole values {right:.3f} of {total}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 60)
