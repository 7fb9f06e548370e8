"""Twenty prompts of held-out words for compare_llama_cpp.mjs. usage: prompts.py TOKENIZER_FOLDER OUT.json"""

import json
import random
import sys

import evaluate
from config import SEED
from tokenizer import Tokenizer


def main(folder, out):
    source = evaluate.HeldOut(Tokenizer(folder), random.Random(SEED + 3))
    tasks = [task for task in evaluate.PROMPTS for _ in range(4)]
    prompts = [evaluate.PROMPTS[task](task, source, length) for task, length in zip(tasks, [300, 800, 1500, 3000] * len(evaluate.PROMPTS))]
    prompts += [(source.passage(chars), "") for chars in (200, 600, 1500, 3000)]
    with open(out, "w", encoding="utf-8") as file:
        json.dump([{"text": text.rstrip("\n"), "value": value} for text, value in prompts], file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
