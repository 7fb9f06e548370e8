"""Trains the model of config.py for a time given; started again, it goes on where it stopped.

usage: train.py FOLDER SECONDS      FOLDER holds what corpus.py and tokenizer.py wrote; writes FOLDER/model.pt and model.log
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
from batches import Texts, batches
from tokenizer import Tokenizer

SAVE_SECONDS = 120
LOG_SECONDS = 5


def rate(share):
    """Learning rate when this share of the time has passed."""
    up = min(1.0, share / config.WARM_UP)
    down = min(1.0, (1 - share) / (1 - config.LEVEL_UNTIL))
    return config.RATE_END + (config.RATE - config.RATE_END) * up * max(0.0, down)


def optimizer_of(net):
    matrices = [p for p in net.parameters() if p.dim() > 1]
    norms = [p for p in net.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), **({"fused": True} if model.device().type == "cuda" else {}))


class Sums:
    """Losses since the last line of the log, kept on the device: reading them would make each step wait."""

    def __init__(self):
        self.steps, self.tokens, self.started, self.values = 0, 0, time.time(), 0.0

    def add(self, values, tokens):
        self.steps, self.tokens, self.values = self.steps + 1, self.tokens + tokens, self.values + values

    def means(self):
        """Loss of a step and of an answer's token."""
        loss, answer_loss, answers = self.values.tolist()
        return loss / self.steps, answer_loss / max(1, answers)

    def tokens_per_second(self):
        return self.tokens / (time.time() - self.started)


class Run:
    def __init__(self, folder, seconds):
        self.folder, self.limit = Path(folder), seconds
        self.path = self.folder / "model.pt"
        self.tokenizer, self.texts = Tokenizer(folder), Texts(folder)
        torch.manual_seed(config.SEED)
        self.model = model.Model(config.SHAPE).to(model.device())
        self.optimizer = optimizer_of(self.model)
        self.step, self.seconds, self.tokens, self.stage = 0, 0.0, 0, 0
        if self.path.exists():
            saved = torch.load(self.path, map_location=model.device())
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.step, self.seconds, self.tokens, self.stage = (saved[name] for name in ("step", "seconds", "tokens", "stage"))
        self.saved_at = time.time()

    def log(self, line):
        print(line, flush=True)
        with open(self.folder / "model.log", "a") as file:
            file.write(line + "\n")

    def save(self):
        saved = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        saved.update(step=self.step, seconds=self.seconds, tokens=self.tokens, stage=self.stage)
        temporary = self.path.with_suffix(".tmp")
        torch.save(saved, temporary)
        os.replace(temporary, self.path)
        self.saved_at = time.time()

    def one_step(self, ids, weights):
        """Sums of the loss, of the answers' losses and their number, on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.seconds / self.limit)
        with model.autocast():
            logits = self.model(ids[:, :-1])
        losses = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        weights = weights[:, 1:].flatten()
        loss = (losses * weights).sum() / weights.sum()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        answers = weights >= config.WEIGHT_VALUE
        return torch.stack([loss.detach(), (losses.detach() * answers).sum(), answers.sum().float()])

    def evaluate(self, length):
        result = []
        for task in ("lines", "passkey", "needle"):
            exact = evaluate.retrieval(self.model, self.tokenizer, task, length, 10)[2]
            result.append(f"{task} {exact:.2f}")
        for task in ("vt", "cwe", "fwe"):
            right, _ = evaluate.whole_values(self.model, self.tokenizer, task, length, max(1, 4096 // length))
            result.append(f"{task} {right:.2f}")
        nats = evaluate.prose_nats(self.model, self.tokenizer, min(length, 1024), 16)
        self.log(f"  step {self.step} length {length}: exact {', '.join(result)}; prose {nats:.3f} nats a token")

    def run_stage(self, stage, end):
        """Steps until `end` seconds of the whole run have passed, or until the stage has taught enough."""
        source, sums = batches(self.texts, stage, self.step), Sums()
        began, before = time.time(), self.seconds
        answers = float("inf")
        while self.seconds < end and answers > stage.enough:
            ids, weights = (x.to(model.device(), non_blocking=True) for x in next(source))
            sums.add(self.one_step(ids, weights), ids.shape[0] * stage.length)
            self.step += 1
            self.tokens += ids.shape[0] * stage.length
            self.seconds = before + time.time() - began
            if time.time() - sums.started > LOG_SECONDS or self.seconds >= end:
                loss, answers = sums.means()
                self.log(
                    f"step {self.step} length {stage.length} loss {loss:.3f} answers {answers:.4f} rate {rate(self.seconds / self.limit):.1e}"
                    f" tokens {self.tokens / 1e6:.1f}M, {sums.tokens_per_second():.0f}/s seconds {self.seconds:.0f}"
                )
                sums = Sums()
            if time.time() - self.saved_at > SAVE_SECONDS:
                self.save()

    def run(self):
        while self.stage < len(config.STAGES):
            stage = config.STAGES[self.stage]
            left = sum(later.share for later in config.STAGES[self.stage :])
            self.run_stage(stage, self.seconds + (self.limit - self.seconds) * stage.share / left)
            self.stage += 1
            self.save()
            self.evaluate(stage.length)


if __name__ == "__main__":
    Run(sys.argv[1], float(sys.argv[2])).run()
