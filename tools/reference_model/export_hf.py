"""Checkpoint -> Hugging Face folder of the Llama architecture. usage: export_hf.py CHECKPOINT TOKENIZER_FOLDER OUT_FOLDER"""

import json
import shutil
import struct
import sys
from pathlib import Path

import torch

from config import CONTEXT, SHAPE
from tokenizer import END_ID, FIRST_ID, UNKNOWN_ID, Tokenizer

LAYER_NAMES = {
    "n1.w": "input_layernorm.weight",
    "q.weight": "self_attn.q_proj.weight",
    "k.weight": "self_attn.k_proj.weight",
    "v.weight": "self_attn.v_proj.weight",
    "o.weight": "self_attn.o_proj.weight",
    "n2.w": "post_attention_layernorm.weight",
    "g.weight": "mlp.gate_proj.weight",
    "u.weight": "mlp.up_proj.weight",
    "d.weight": "mlp.down_proj.weight",
}
SPECIAL = {UNKNOWN_ID: "<unk>", FIRST_ID: "<s>", END_ID: "</s>"}


def config(shape):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.dim,
        "intermediate_size": shape.ffn_dim,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_base,
        "rope_scaling": None,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vocab_size": shape.vocab,
        "bos_token_id": FIRST_ID,
        "eos_token_id": END_ID,
    }


def tokenizer_config():
    return {
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": True,
        "add_eos_token": False,
        "legacy": True,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
    }


def merges(model):
    """Every pair of pieces that is a piece, the best piece first: what SentencePiece's scores say, as a list of merges."""
    vocab = {model.id_to_piece(i): i for i in range(model.get_piece_size())}
    found = []
    for piece, i in vocab.items():
        if model.is_byte(i) or model.is_control(i) or model.is_unknown(i) or model.is_unused(i):
            continue
        splits = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        found += [(-model.get_score(i), vocab[a], vocab[b], f"{a} {b}") for a, b in splits if a in vocab and b in vocab]
    return [merge for *_, merge in sorted(found)]


def tokenizer_json(model):
    first = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
            for i, text in SPECIAL.items()
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "\u2581"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [first, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [first, {"Sequence": {"id": "A", "type_id": 0}}, first, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [FIRST_ID], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": {model.id_to_piece(i): i for i in range(model.get_piece_size())},
            "merges": merges(model),
        },
    }


def tensors(weights, shape):
    yield "model.embed_tokens.weight", weights["e.weight"]
    yield "model.norm.weight", weights["n.w"]
    for layer in range(shape.layers):
        for ours, theirs in LAYER_NAMES.items():
            yield f"model.layers.{layer}.{theirs}", weights[f"b.{layer}.{ours}"]


def write_safetensors(path, named):
    """Length of the header, JSON header padded to 8 bytes, BF16 data."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in named:
        raw = tensor.contiguous().bfloat16().view(torch.int16).numpy().astype("<i2").tobytes()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def export(weights, folder, out):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    model = Tokenizer(folder).model
    files = {"config.json": config(SHAPE), "tokenizer_config.json": tokenizer_config(), "tokenizer.json": tokenizer_json(model)}
    for name, value in files.items():
        (out / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.copy(Path(folder) / "tokenizer.model", out / "tokenizer.model")
    write_safetensors(out / "model.safetensors", tensors(weights, SHAPE))


if __name__ == "__main__":
    saved = torch.load(sys.argv[1], map_location="cpu")
    export(saved.get("model", saved), sys.argv[2], sys.argv[3])
