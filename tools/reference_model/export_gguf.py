"""Checkpoint -> GGUF with BF16 or Q8_0 weights. usage: export_gguf.py CHECKPOINT TOKENIZER_FOLDER OUT.gguf [BF16|Q8_0]"""

import struct
import sys

import numpy as np
import torch

from config import CONTEXT, SHAPE
from tokenizer import END_ID, FIRST_ID, UNKNOWN_ID, Tokenizer

ALIGNMENT = 32
F32, Q8_0, BF16 = 0, 8, 30  # tensor types; a file's type has numbers of its own
FILE_TYPES = {"BF16": 32, "Q8_0": 7}
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # types of metadata values
NORMAL, UNKNOWN, CONTROL, UNUSED, BYTE = 1, 2, 3, 5, 6  # types of pieces


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key, kind, value):
    return string(key) + struct.pack("<I", kind) + value


def number(key, value):
    return entry(key, UINT32, struct.pack("<I", value))


def array(key, kind, count, data):
    return entry(key, ARRAY, struct.pack("<IQ", kind, count) + data)


def piece_kind(model, i):
    if model.is_unknown(i):
        return UNKNOWN
    if model.is_control(i):
        return CONTROL
    if model.is_unused(i):
        return UNUSED
    return BYTE if model.is_byte(i) else NORMAL


def metadata(shape, tokenizer, file_type):
    model, count = tokenizer.model, len(tokenizer)
    ids = range(count)
    entries = [
        entry("general.architecture", STRING, string("llama")),
        entry("general.name", STRING, string("damask reference")),
        entry("general.license", STRING, string("apache-2.0")),
        number("general.file_type", FILE_TYPES[file_type]),
        number("general.alignment", ALIGNMENT),
        number("llama.context_length", CONTEXT),
        number("llama.embedding_length", shape.dim),
        number("llama.block_count", shape.layers),
        number("llama.feed_forward_length", shape.ffn_dim),
        number("llama.attention.head_count", shape.heads),
        number("llama.attention.head_count_kv", shape.kv_heads),
        number("llama.attention.key_length", shape.head_dim),
        number("llama.attention.value_length", shape.head_dim),
        number("llama.rope.dimension_count", shape.head_dim),
        number("llama.vocab_size", count),
        entry("llama.rope.freq_base", FLOAT32, struct.pack("<f", shape.rope_base)),
        entry("llama.attention.layer_norm_rms_epsilon", FLOAT32, struct.pack("<f", shape.norm_eps)),
        entry("tokenizer.ggml.model", STRING, string("llama")),
        entry("tokenizer.ggml.pre", STRING, string("default")),
        array("tokenizer.ggml.tokens", STRING, count, b"".join(string(model.id_to_piece(i)) for i in ids)),
        array("tokenizer.ggml.scores", FLOAT32, count, np.array([model.get_score(i) for i in ids], "<f4").tobytes()),
        array("tokenizer.ggml.token_type", INT32, count, np.array([piece_kind(model, i) for i in ids], "<i4").tobytes()),
        number("tokenizer.ggml.bos_token_id", FIRST_ID),
        number("tokenizer.ggml.eos_token_id", END_ID),
        number("tokenizer.ggml.unknown_token_id", UNKNOWN_ID),
        entry("tokenizer.ggml.add_bos_token", BOOL, b"\1"),
        entry("tokenizer.ggml.add_space_prefix", BOOL, b"\1"),
    ]
    return entries


def adjacent_pairs(weight, head_dim):
    """Rows of a query or key product from half-split rotation to adjacent pairs, as the llama architecture has them in GGUF."""
    rows, dim = weight.shape
    return weight.view(rows // head_dim, 2, head_dim // 2, dim).transpose(1, 2).reshape(rows, dim)


def tensors(weights, shape):
    """(name, float32 tensor) in the order of the file."""
    yield "token_embd.weight", weights["e.weight"]
    yield "output_norm.weight", weights["n.w"]
    for layer in range(shape.layers):
        b, out = f"b.{layer}.", f"blk.{layer}."
        yield out + "attn_norm.weight", weights[b + "n1.w"]
        yield out + "attn_q.weight", adjacent_pairs(weights[b + "q.weight"], shape.head_dim)
        yield out + "attn_k.weight", adjacent_pairs(weights[b + "k.weight"], shape.head_dim)
        yield out + "attn_v.weight", weights[b + "v.weight"]
        yield out + "attn_output.weight", weights[b + "o.weight"]
        yield out + "ffn_norm.weight", weights[b + "n2.w"]
        yield out + "ffn_gate.weight", weights[b + "g.weight"]
        yield out + "ffn_up.weight", weights[b + "u.weight"]
        yield out + "ffn_down.weight", weights[b + "d.weight"]


def q8_0(values):
    """Blocks of 32 along the rows: a half-precision scale (largest magnitude / 127), 32 signed bytes."""
    blocks = values.reshape(-1, 32).astype(np.float32)
    scales = np.abs(blocks).max(1, keepdims=True) / 127
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
    rounded = np.rint(blocks * inverse).astype(np.int8)
    return np.concatenate([scales.astype("<f2").view(np.int8), rounded], 1).tobytes()


def encode(tensor, file_type):
    if tensor.dim() == 1:
        return F32, tensor.numpy().astype("<f4").tobytes()
    if file_type == "Q8_0":
        return Q8_0, q8_0(tensor.contiguous().numpy())
    return BF16, tensor.contiguous().bfloat16().view(torch.int16).numpy().astype("<i2").tobytes()


def padding(size):
    return b"\0" * (-size % ALIGNMENT)


def export(weights, tokenizer, path, file_type, shape):
    entries = metadata(shape, tokenizer, file_type)
    infos, data = b"", b""
    count = 0
    for name, tensor in tensors(weights, shape):
        kind, raw = encode(tensor.float(), file_type)
        infos += string(name) + struct.pack("<I", tensor.dim())
        infos += b"".join(struct.pack("<Q", n) for n in reversed(tensor.shape)) + struct.pack("<IQ", kind, len(data))
        data += raw + padding(len(raw))
        count += 1
    head = b"GGUF" + struct.pack("<IQQ", 3, count, len(entries)) + b"".join(entries) + infos
    with open(path, "wb") as file:
        file.write(head + padding(len(head)) + data)
    print(f"{path}: {len(head) + len(data):,} bytes, {count} tensors")


if __name__ == "__main__":
    saved = torch.load(sys.argv[1], map_location="cpu")
    kind = sys.argv[4] if len(sys.argv) > 4 else "BF16"
    export(saved.get("model", saved), Tokenizer(sys.argv[2]), sys.argv[3], kind, SHAPE)
