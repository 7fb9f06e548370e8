#!/usr/bin/env python3
"""Times `damask serve`: time to the first token of a long prompt the first time, again, and after a restart; and how much faster
eight clients together are served than one.

  bench/serve/serve_bench.py PROGRAM MODEL [--prompt 8192] [--clients 8] [--tokens 64]

All figures come from one run on one machine; the ratios are what counts. Needs nothing but Python's standard library.
"""
import argparse
import http.client
import json
import random
import shutil
import subprocess
import tempfile
import threading
import time


class Server:
    """A running server; stopped at the end of the with block."""

    def __init__(self, program, model, folder, context):
        command = [program, "serve", "-m", model, "--port", "0", "-c", str(context), "--json", "--prefix-cache", folder,
                   "--prefix-bytes", str(4 << 30)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = json.loads(self.process.stdout.readline())["port"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def complete(port, prompt, tokens):
    """Sends one streamed request: seconds to the first token, seconds in all, tokens, cached tokens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3600)
    body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True, "ignore_eos": True,
            "stream_options": {"include_usage": True}}
    begin = time.monotonic()
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    first, usage = None, None
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if event.get("choices") and first is None:
            first = time.monotonic() - begin
        usage = event.get("usage") or usage
    return first, time.monotonic() - begin, usage["completion_tokens"], usage["prompt_tokens_details"]["cached_tokens"]


def time_to_first_token(options, folder, ids):
    context = options.prompt + 64
    rows = []
    with Server(options.program, options.model, folder, context) as server:
        complete(server.port, ids[:64], 1)  # warm: weights touched
        rows.append(("first time",) + complete(server.port, ids, 1))
        # The first repetition still meets the prefix being written to disk.
        again = sorted(complete(server.port, ids, 1) for _ in range(5))
        rows.append(("again, from memory",) + again[len(again) // 2])
    with Server(options.program, options.model, folder, context) as server:
        complete(server.port, ids[1:65], 1)
        rows.append(("after a restart, from disk",) + complete(server.port, ids, 1))
    base = rows[0][1]
    for name, first, _, _, cached in rows:
        print(f"{name:28} {first:8.3f} s   {cached:6} of {len(ids)} tokens cached   {base / first:6.1f}x")


def together(port, clients, tokens):
    """Tokens per second of that many clients at once, prompts of 32 tokens, all different."""
    results = []

    def client(number):
        prompt = [1 + (number * 97 + i * 13) % 900 for i in range(32)]
        results.append(complete(port, prompt, tokens))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(result[2] for result in results) / (time.monotonic() - begin)


def throughput(options, folder):
    with Server(options.program, options.model, folder, 1024) as server:
        together(server.port, 1, 8)
        one = together(server.port, 1, options.tokens)
        many = together(server.port, options.clients, options.tokens)
        again = together(server.port, 1, options.tokens)
    one = max(one, again)
    print(f"{'1 client':28} {one:8.1f} tokens/s")
    print(f"{str(options.clients) + ' clients':28} {many:8.1f} tokens/s   {many / one:5.2f}x")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--prompt", type=int, default=8192)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    folder = tempfile.mkdtemp()
    try:
        ids = random.Random(1).choices(range(3, 900), k=options.prompt)
        time_to_first_token(options, folder, ids)
        throughput(options, folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
