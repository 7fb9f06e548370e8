"""Trains one stage list of config.py; stops and goes on where it was.

usage: train.py small|grown FOLDER [START.pt]      FOLDER holds tokenizer.model; writes FOLDER/{small,grown}.pt and .log
"""

import os
import sys
import time

# glibc gives large blocks back to the system after each use and faults them in again: five times slower element-wise operations.
if os.environ.get("MALLOC_MMAP_MAX_") != "0":
    os.environ.update(MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_=str(1 << 40), OMP_WAIT_POLICY="PASSIVE")
    os.execv(sys.executable, [sys.executable] + sys.argv)

from pathlib import Path

import torch
import torch.nn.functional as F

import config
import evaluate
import model
from batches import batches
from tokenizer import Tokenizer

SAVE_SECONDS = 120
LOG_STEPS = 25
EVALUATE_STEPS = 100


class Run:
    def __init__(self, name, folder, start):
        self.shape, self.stages, self.mix = {
            "small": (config.SMALL, config.SMALL_STAGES, config.SMALL_MIX),
            "grown": (config.GROWN, config.GROWN_STAGES, config.GROWN_MIX),
        }[name]
        self.folder = folder
        self.path = Path(folder) / f"{name}.pt"
        self.log_path = Path(folder) / f"{name}.log"
        self.tokenizer = Tokenizer(folder)
        torch.manual_seed(config.SEED)
        self.model = model.load(start, self.shape) if start and not self.path.exists() else model.Model(self.shape)
        matrices = [p for p in self.model.parameters() if p.dim() > 1]
        norms = [p for p in self.model.parameters() if p.dim() == 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.05}, {"params": norms, "weight_decay": 0.0}], lr=0.0, betas=(0.9, 0.95)
        )
        self.step, self.seconds, self.tokens = 0, 0.0, 0
        if self.path.exists():
            saved = torch.load(self.path)
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.step, self.seconds, self.tokens = saved["step"], saved["seconds"], saved["tokens"]

    def log(self, line):
        print(line, flush=True)
        with open(self.log_path, "a") as file:
            file.write(line + "\n")

    def save(self):
        saved = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        saved.update(step=self.step, seconds=self.seconds, tokens=self.tokens)
        temporary = self.path.with_suffix(".tmp")
        torch.save(saved, temporary)
        os.replace(temporary, self.path)

    def one_step(self, ids, weights, rate):
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model(ids[:, :-1])
        losses = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        weights = weights[:, 1:].flatten()
        loss = (losses * weights).sum() / weights.sum()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        answers = weights >= config.WEIGHT_VALUE
        return loss.item(), (losses * answers).sum().item(), answers.sum().item()

    def evaluate(self, length):
        result = []
        for task in ("lines", "passkey"):
            digits, first, exact, _ = evaluate.retrieval(self.model, self.tokenizer, task, length, 5 if length > 2048 else 20)
            result.append(f"{task} exact {exact:.2f} digits {digits:.2f} first {first:.2f}")
        nats = evaluate.prose_nats(self.model, self.tokenizer, min(length, 1024), 8)
        self.log(f"  step {self.step} length {length}: {', '.join(result)}, prose {nats:.3f}")

    def run(self):
        last_save = time.time()
        end = 0
        for stage in self.stages:
            begin, end = end, end + stage.steps
            if self.step >= end:
                continue
            source = batches(self.folder, self.mix, stage.length, stage.batch, self.step)
            loss_sum = answer_sum = answers = 0.0
            while self.step < end:
                started = time.time()
                ids, weights = next(source)
                share = (self.step - begin + 1) / stage.steps
                rate = stage.rate_begin + (stage.rate_end - stage.rate_begin) * share
                loss, answer_loss, count = self.one_step(ids, weights, rate)
                self.step += 1
                self.tokens += ids.shape[0] * stage.length
                self.seconds += time.time() - started
                loss_sum, answer_sum, answers = loss_sum + loss, answer_sum + answer_loss, answers + count
                if self.step % LOG_STEPS == 0:
                    self.log(
                        f"step {self.step} length {stage.length} loss {loss_sum / LOG_STEPS:.3f} answers {answer_sum / max(1, answers):.3f}"
                        f" rate {rate:.1e} tokens {self.tokens / 1e6:.2f}M seconds {self.seconds:.0f}"
                    )
                    loss_sum = answer_sum = answers = 0.0
                if self.step % EVALUATE_STEPS == 0 or self.step == end:
                    self.evaluate(stage.length)
                if time.time() - last_save > SAVE_SECONDS or self.step == end:
                    self.save()
                    last_save = time.time()


if __name__ == "__main__":
    Run(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None).run()
