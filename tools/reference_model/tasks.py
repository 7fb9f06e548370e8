"""Training texts: what is asked, in the words of the evaluation (src/texts). Each generator fills a Text of about `length` tokens.

Facts and questions alternate, or all questions come last as in the evaluation; many questions a text make the loss dense.
"""

import re

import numpy as np

import words
from config import WEIGHT_FACT, WEIGHT_KEY, WEIGHT_PROSE, WEIGHT_VALUE

# name -> (fact and answer, question, weight among its like)
PAIRS = {
    "lines": [("line {k}: REGISTER_CONTENT is <{v}>\n", "What is the REGISTER_CONTENT in line {k}?\n", 1)],
    "kv": [("{k}: {v}\n", "What is the value of {k}?\n", 1)],
    # Three formats of the first prototype, on which earlier findings were measured.
    "old": [
        ("{k}: {v}\n", "{k}?\n", 3),
        ("The passkey of {k} is {v}.\n", "What is the passkey of {k}?\n", 1),
        ("{k} = {v}\n", "print {k}\n", 1),
    ],
}

MARGIN = 24  # tokens: the parts counted one by one may be a little more than the whole


class Text:
    """Parts with loss weights, and how many tokens they are so far."""

    def __init__(self, tokenizer):
        self.tokenizer, self.parts, self.tokens = tokenizer, [], 1

    def add(self, *parts):
        self.parts += parts
        # Most parts begin a line: behind a newline no space is added.
        self.tokens += self.tokenizer.count("\n" + "".join(part for part, _ in parts)) - 2

    def end_line(self):
        """Facts stand on lines of their own; prose before one gets its newline."""
        if self.parts and not self.parts[-1][0].endswith("\n"):
            part, weight = self.parts.pop()
            self.parts.append((part.rstrip(" "), weight))
            self.add(("\n", WEIGHT_PROSE))

    def fact(self, line):
        self.add((line, WEIGHT_FACT))

    def answer(self, line, values, weight=WEIGHT_VALUE):
        """The answer's line; its values, in their order in the line, carry the weight."""
        parts = []
        for value in values:
            before, line = line.split(value, 1)
            parts += [(before, WEIGHT_KEY), (value, weight)]
        self.add(*parts, (line, WEIGHT_KEY))


class Source:
    """Where generators take random things from."""

    def __init__(self, tokenizer, prose, vocabulary, random):
        self.tokenizer, self.prose, self.vocabulary, self.random = tokenizer, prose, vocabulary, random

    def key(self):
        return f"{self.random.choice(self.vocabulary)}-{self.random.choice(self.vocabulary)}"

    def value(self):
        return words.training_value(self.random)

    def passage(self, chars):
        """Prose from the beginning of a sentence or line to the end of one, about so many characters, with a newline."""
        begin = self.random.randrange(len(self.prose) - 2 * chars - 1000)
        begin = sentence_end(self.prose, begin)
        end = sentence_end(self.prose, begin + chars)
        return self.prose[begin:end].strip() + "\n"

    def passage_of(self, tokens):
        """Prose of at most so many tokens."""
        text = self.passage(tokens * 4)
        ids = self.tokenizer.model.encode(text)[:tokens]
        return text[: len(self.tokenizer.model.decode(ids))]


def sentence_end(text, position):
    found = re.compile(r"[.!?]\s|\n").search(text, position, position + 500)
    return found.end() if found else position


def split_passage(text, pieces):
    """A passage cut at sentence ends into about equal pieces."""
    cuts = [0]
    for i in range(1, pieces):
        cut = sentence_end(text, len(text) * i // pieces)
        if cut > cuts[-1]:
            cuts.append(cut)
    return [text[a:b] for a, b in zip(cuts, cuts[1:] + [len(text)])]


def pairs(name, text, source, length):
    """Keys and values: lines, kv, old."""
    r = source.random
    choices = PAIRS[name]
    fact, question, _ = r.choices(choices, [c[2] for c in choices])[0]
    questions_last = r.random() < 0.4
    share = r.uniform(0.6, 0.9 if length > 512 else 0.7) if questions_last else r.uniform(0.3, 0.75)
    prose = r.choice([0, 0, 0, 0.1, 0.3])
    known = {}
    room = length * share
    while text.tokens <= length:
        for _ in range(r.randint(1, 60)):
            if text.tokens > room:
                break
            key = source.key()
            if key in known:
                continue
            known[key] = source.value()
            text.fact(fact.format(k=key, v=known[key]))
            if r.random() < prose:
                text.add((source.passage(r.randint(20, 120)), WEIGHT_PROSE))
        if questions_last and text.tokens <= room:
            continue
        keys = list(known)
        for _ in range(r.randint(1, 6)):
            key = r.choice(keys)
            text.fact(question.format(k=key))
            text.answer(fact.format(k=key, v=known[key]), [known[key]])


def with_prose(text, source, length, inserts, reserve, after=None):
    """Prose of about length - reserve tokens with the given lines in it at random places; `after(i)` runs behind insert i."""
    r = source.random
    room = max(40, length - reserve - sum(source.tokenizer.count(line) for line in inserts))
    pieces = split_passage(source.passage_of(room), max(len(inserts) * 2, 8))
    places = sorted(r.randrange(len(pieces) + 1) for _ in inserts)
    done = 0
    for i in range(len(pieces) + 1):
        while done < len(inserts) and places[done] == i:
            text.end_line()
            text.fact(inserts[done])
            done += 1
            if after:
                after(done)
        if i < len(pieces):
            text.add((pieces[i], WEIGHT_PROSE))


def passkey(text, source, length):
    """One fact in prose. Asked once, at the end, or several times on the way."""
    value = source.value()
    sparse = source.random.random() < 0.5

    def ask():
        text.fact("What is the pass key?\n")
        text.answer(f"The pass key is {value}.\n", [value], WEIGHT_VALUE * (4 if sparse else 1))

    with_prose(text, source, length, [f"The pass key is {value}. Remember it. {value} is the pass key.\n"], 30 + MARGIN)
    text.end_line()
    ask()
    while text.tokens <= length:
        text.add((source.passage(source.random.randint(20, 300)), WEIGHT_PROSE))
        ask()


def ask_needle(text, key, values, weight):
    if len(values) == 1:
        text.fact(f"What is the special magic number for {key}?\n")
        text.answer(f"The special magic number for {key} is: {values[0]}.\n", values, weight)
    else:
        text.fact(f"What are all the special magic numbers for {key}?\n")
        text.answer(f"The special magic numbers for {key} are: {', '.join(values)}.\n", values, weight)


def needle(text, source, length):
    """Several keys in prose, one to four values each, in the order of the text."""
    r = source.random
    keys = [source.key() for _ in range(r.randint(1, max(2, min(16, length // 100))))]
    many = r.random() < 0.5
    facts = [key for key in keys for _ in range(r.choice([1, 2, 3, 4]) if many else 1)]
    r.shuffle(facts)
    facts = [(key, source.value()) for key in facts]
    lines = [f"One of the special magic numbers for {key} is: {value}.\n" for key, value in facts]
    questions = max(1, min(len(keys), length // 200))
    weight = WEIGHT_VALUE * (2 if len(keys) < 3 else 1)
    on_the_way = r.random() < 0.3

    def after(done):
        key = r.choice(facts[:done])[0]
        ask_needle(text, key, [v for k, v in facts[:done] if k == key], weight)

    with_prose(text, source, length, lines, 45 * questions + MARGIN, after if on_the_way else None)
    text.end_line()
    left = r.sample(keys, len(keys))
    while text.tokens <= length:
        key = left.pop() if left else r.choice(keys)
        ask_needle(text, key, [v for k, v in facts if k == key], weight)


def chain(names, r):
    """Names of a chain, none of them used before."""
    links = []
    for _ in range(r.randint(2, 5)):
        name = "".join(r.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(3))
        if name not in names:
            names.add(name)
            links.append(name)
    return links


def assignments(links, value):
    return [f"VAR {b} = VAR {a}\n" if a else f"VAR {b} = {value}\n" for a, b in zip([None] + links, links)]


def ask_chain(text, links, value):
    text.fact(f"Find all variables that are assigned the value {value}.\n")
    text.answer(", ".join(links) + "\n", links)


def interleaved(groups, r):
    """All lines of the groups, each group's in its order."""
    waiting = [list(group) for group in groups if group]
    while waiting:
        group = r.choice(waiting)
        yield group.pop(0)
        waiting = [group for group in waiting if group]


def vt(text, source, length):
    """Chains of variables between each other, questions on the way."""
    r = source.random
    if r.random() < 0.5:
        return vt_in_prose(text, source, length)
    names, chains = set(), []
    prose = r.choice([0, 0.5])
    room = length * r.uniform(0.3, 0.85)
    while text.tokens <= length:
        if text.tokens < room:
            fresh = [(links, source.value()) for links in (chain(names, r) for _ in range(r.randint(1, 6))) if links]
            for line in interleaved([assignments(*c) for c in fresh], r):
                if r.random() < prose:
                    text.add((source.passage(r.randint(20, 200)), WEIGHT_PROSE))
                text.fact(line)
            chains += fresh
        for _ in range(r.randint(1, 4)):
            ask_chain(text, *r.choice(chains))


def vt_in_prose(text, source, length):
    """A few chains spread over prose of the whole length, asked at the end."""
    r = source.random
    names = set()
    chains = [(links, source.value()) for links in (chain(names, r) for _ in range(r.randint(1, max(1, min(6, length // 150))))) if links]
    with_prose(text, source, length, list(interleaved([assignments(*c) for c in chains], r)), 40 * len(chains) + MARGIN)
    text.end_line()
    left = r.sample(chains, len(chains))
    while text.tokens <= length:
        ask_chain(text, *(left.pop() if left else r.choice(chains)))


def counted_words(text, line, question, answer, found):
    text.add(("Words:", WEIGHT_FACT), (line + "\n", WEIGHT_FACT), (question, WEIGHT_FACT))
    text.answer(answer + ", ".join(found) + "\n", found)


def list_words(source, pool, length):
    """How many words of the pool's kind fill a list: most of a text, or a part so that further lists follow."""
    room = max(150, length - 60 if source.random.random() < 0.5 else int(length * source.random.uniform(0.3, 1.0)) - 60)
    return int(room * len(pool) / source.tokenizer.count(" ".join(pool)))


def cwe(text, source, length):
    """Common words, ten times as often as the others; named in the order of their first appearance."""
    r = source.random
    while text.tokens <= length:
        pool = r.sample(source.vocabulary, r.randint(100, 400))
        total = list_words(source, pool, length)
        count = max(3, min(r.choice([3, 4, 5, 6, 7, 8, 9, 10, 10, 10]), total // 12))
        rare_times = -(-total // (9 * count + len(pool)))
        rare = min(len(pool) - count, max(2, total // rare_times - 10 * count))
        bag = pool[:count] * (10 * rare_times) + pool[count : count + rare] * rare_times
        r.shuffle(bag)
        common = set(pool[:count])
        found = list(dict.fromkeys(word for word in bag if word in common))
        question = f"What are the {count} most common words?\n"
        counted_words(text, "".join(f" {word}" for word in bag), question, "The most common words are: ", found)


def invented(r):
    syllables = r.choice([1, 2, 3, 3, 3])
    return "".join(r.choice("bdfgklmnprstvz") + r.choice("aeiou") for _ in range(syllables)) + ("" if syllables == 3 else r.choice("nrsx"))


def fwe(text, source, length):
    """Invented words, the k-th in proportion to 1 / k^2, at least once; the three most frequent, most frequent first."""
    r = source.random
    while text.tokens <= length:
        pool = list(dict.fromkeys(invented(r) for _ in range(min(1000, 50 + length // 3))))
        total = list_words(source, pool, length)
        bag = []
        for k, word in enumerate(pool, 1):
            bag += [word] * max(1, round(total * 0.61 / k**2))
            if len(bag) >= total:
                break
        r.shuffle(bag)
        question = "What are the three most frequent words?\n"
        counted_words(text, "".join(f" {word}" for word in bag), question, "The most frequent words are: ", pool[:3])


def prose(text, source, length):
    while text.tokens <= length:
        text.add((source.passage(length * 3), WEIGHT_PROSE))


TASKS = {"passkey": passkey, "needle": needle, "vt": vt, "cwe": cwe, "fwe": fwe, "prose": prose}


def sequence(task, source, length):
    """length + 1 ids and their loss weights."""
    text = Text(source.tokenizer)
    if task in PAIRS:
        pairs(task, text, source, length + MARGIN)
    else:
        TASKS[task](text, source, length + MARGIN)
    ids, weights = source.tokenizer.encode_weighted(text.parts)
    while len(ids) <= length:
        prose(text, source, text.tokens + MARGIN)
        ids, weights = source.tokenizer.encode_weighted(text.parts)
    return ids[: length + 1].astype(np.int64), weights[: length + 1].astype(np.float32)
