"""Everything that decides what is trained: the shape, the stages, the mix of tasks. The other files only read it."""

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Shape:
    layers: int = 6
    heads: int = 8
    kv_heads: int = 4
    dim: int = 384
    head_dim: int = 64
    ffn_dim: int = 1024
    vocab: int = 2048
    rope_base: float = 1e5
    norm_eps: float = 1e-5


SHAPE = Shape()  # 11.4 million parameters
CONTEXT = 16384

# Shares of the sequences by task (tasks.py): at first what teaches retrieval, then everything.
LEARN = {"lines": 40, "kv": 20, "old": 10, "needle": 5, "prose": 25}
ALL = {"lines": 20, "kv": 7, "old": 3, "passkey": 8, "needle": 17, "vt": 17, "cwe": 11, "fwe": 6, "prose": 11}


@dataclass(frozen=True)
class Stage:
    share: float  # of the time that is left, divided by the sum of this and the later shares
    length: int  # tokens of a sequence
    batch: int  # sequences of a step
    mix: dict
    enough: float = 0.0  # the stage ends early when the answers' loss, in nats a token, is below


# Short texts until the phase change (retrieval is learned in a few hundred steps, suddenly), then longer and longer ones.
STAGES = (
    Stage(0.01, 128, 256, LEARN, 0.3),
    Stage(0.32, 256, 128, LEARN, 0.05),
    Stage(0.08, 512, 64, ALL),
    Stage(0.09, 1024, 48, ALL),
    Stage(0.10, 2048, 32, ALL),
    Stage(0.14, 4096, 24, ALL),
    Stage(0.11, 8192, 12, ALL),
    Stage(0.13, 16384, 6, ALL),
)

# Learning rate: up, level, down in a straight line to the end; in shares of the time given.
RATE = 1.5e-3
RATE_END = 3e-5
WARM_UP = 0.005
LEVEL_UNTIL = 0.5

# Loss weights of tokens: what carries an answer counts most.
WEIGHT_FACT = 0.1
WEIGHT_KEY = 0.3
WEIGHT_VALUE = 4.0
WEIGHT_PROSE = 0.5

SEED = 20261126
