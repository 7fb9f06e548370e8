"""Everything that decides what is trained: the two shapes, the stages, the mix of tasks. The other files only read it."""

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Shape:
    layers: int
    heads: int
    kv_heads: int
    dim: int = 256
    head_dim: int = 64
    ffn_dim: int = 704
    vocab: int = 2048
    rope_base: float = 1e5
    norm_eps: float = 1e-5


SMALL = Shape(layers=4, heads=4, kv_heads=2)  # stage 1 learns to retrieve with this one: 3.5M parameters
GROWN = Shape(layers=6, heads=8, kv_heads=4)  # stages 2 and on: 6.1M parameters
# Which layer of the small model each layer of the grown one begins as; a repeated one starts without effect on the result.
LAYER_SOURCES = (0, 1, 1, 2, 3, 3)

CONTEXT = 4096


@dataclass(frozen=True)
class Stage:
    steps: int
    length: int  # tokens of a sequence
    batch: int  # sequences of a step
    rate_begin: float  # learning rate, linear from begin to end
    rate_end: float


# Stage 1, from random weights: short texts until the phase change (first digit 0.4 -> 1.0), then a little longer.
SMALL_STAGES = (
    Stage(300, 128, 32, 0.0, 1.2e-3),
    Stage(2400, 256, 16, 1.2e-3, 1.2e-3),
    Stage(300, 512, 8, 1.2e-3, 6e-4),
)

# Stage 2, from the grown weights: all tasks, lengths up to the trained context.
GROWN_STAGES = (
    Stage(100, 256, 16, 0.0, 1e-3),
    Stage(300, 256, 16, 1e-3, 1e-3),
    Stage(300, 512, 8, 1e-3, 1e-3),
    Stage(70, 1024, 8, 1e-3, 1e-3),
    Stage(45, 2048, 2, 8e-4, 8e-4),
    Stage(220, 4096, 1, 8e-4, 4e-5),
    Stage(150, 4096, 1, 5e-4, 3e-5),
)

# Shares of the sequences by task (tasks.py).
SMALL_MIX = {"lines": 40, "kv": 20, "old": 10, "needle": 5, "prose": 25}
GROWN_MIX = {
    "lines": 30,
    "kv": 10,
    "old": 4,
    "passkey": 8,
    "needle": 16,
    "vt": 16,
    "cwe": 3,
    "fwe": 4,
    "prose": 9,
}

# Loss weights of tokens: what carries an answer counts most.
WEIGHT_FACT = 0.1
WEIGHT_KEY = 0.3
WEIGHT_VALUE = 4.0
WEIGHT_PROSE = 0.5

SEED = 20261124
