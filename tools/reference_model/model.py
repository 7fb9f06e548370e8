"""The Llama-shaped model in plain PyTorch: RMSNorm, rotary positions (half-split), grouped-query attention, SwiGLU, tied embeddings."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from attention import attention


class Norm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.w = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x):
        if hasattr(F, "rms_norm"):
            return F.rms_norm(x, self.w.shape, self.w, self.eps)
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.w


def rotate(x, cos, sin):
    a, b = x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).bfloat16()


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        dim, q_dim, kv_dim = shape.dim, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.n1, self.n2 = Norm(dim, shape.norm_eps), Norm(dim, shape.norm_eps)
        self.q = nn.Linear(dim, q_dim, bias=False)
        self.k = nn.Linear(dim, kv_dim, bias=False)
        self.v = nn.Linear(dim, kv_dim, bias=False)
        self.o = nn.Linear(q_dim, dim, bias=False)
        self.g = nn.Linear(dim, shape.ffn_dim, bias=False)
        self.u = nn.Linear(dim, shape.ffn_dim, bias=False)
        self.d = nn.Linear(shape.ffn_dim, dim, bias=False)

    def forward(self, x, cos, sin):
        B, T, _ = x.shape
        H, KV, D = self.shape.heads, self.shape.kv_heads, self.shape.head_dim
        h = self.n1(x)
        q = rotate(self.q(h).view(B, T, H, D).transpose(1, 2), cos, sin)
        k = rotate(self.k(h).view(B, T, KV, D).transpose(1, 2), cos, sin)
        v = self.v(h).view(B, T, KV, D).transpose(1, 2).bfloat16()
        y = attention(q.reshape(B, KV, H // KV, T, D), k, v)
        x = x + self.o(y.reshape(B, H, T, D).transpose(1, 2).reshape(B, T, H * D))
        h = self.n2(x)
        return x + self.d(F.silu(self.g(h)) * self.u(h))


class Model(nn.Module):
    """Parameters are named e (embedding, also the output), b.N.{n1,q,k,v,o,n2,g,u,d}, n (last norm)."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.e = nn.Embedding(shape.vocab, shape.dim)
        self.b = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.n = Norm(shape.dim, shape.norm_eps)
        for name, p in self.named_parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02 if name == "e.weight" else 0.8 / math.sqrt(p.shape[1]))
        for block in self.b:
            block.o.weight.data /= math.sqrt(2 * shape.layers)
            block.d.weight.data /= math.sqrt(2 * shape.layers)

    def hidden(self, ids):
        half = self.shape.head_dim // 2
        inverse = self.shape.rope_base ** (-torch.arange(half, device=ids.device).float() / half)
        angles = torch.arange(ids.shape[1], device=ids.device).float()[:, None] * inverse
        x, cos, sin = self.e(ids), angles.cos(), angles.sin()
        for block in self.b:
            x = block(x, cos, sin)
        return self.n(x)

    def forward(self, ids):
        return F.linear(self.hidden(ids), self.e.weight)


def load(path, shape):
    model = Model(shape)
    saved = torch.load(path, map_location="cpu")
    model.load_state_dict(saved.get("model", saved))
    return model


def device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast():
    return torch.autocast(device().type, torch.bfloat16)
