"""Causal grouped-query attention: PyTorch's fused one on a GPU; on a CPU in blocks of query rows, where memory grows with T x block.

PyTorch 1.13 on a CPU has no fused attention; the plain form stores T x T float32 scores several times. Here each block of rows keeps
only its bfloat16 probabilities for the backward pass (head_dim 64, 4096 tokens, 8 heads: 134 MB a layer).
"""

import torch
import torch.nn.functional as F


class BlockedAttention(torch.autograd.Function):
    """q [B, KV, G, T, D], k and v [B, KV, T, D], all bfloat16, keys and queries rotated; result [B, KV, G, T, D]."""

    @staticmethod
    def forward(ctx, q, k, v, rows):
        B, KV, G, T, D = q.shape
        scale = D**-0.5
        flat_k, flat_v = k.reshape(B * KV, T, D), v.reshape(B * KV, T, D)
        out = torch.empty_like(q)
        kept = []
        for begin in range(0, T, rows):
            end = min(begin + rows, T)
            block = q[..., begin:end, :].reshape(B * KV, G * (end - begin), D)
            scores = torch.bmm(block, flat_k[:, :end].transpose(1, 2)).view(B * KV, G, end - begin, end).mul_(scale)
            scores[..., begin:] += torch.full((end - begin, end - begin), -1e9).triu(1).to(scores.dtype)
            probs = scores.softmax(-1).view(B * KV, G * (end - begin), end)
            out[..., begin:end, :] = torch.bmm(probs, flat_v[:, :end]).view(B, KV, G, end - begin, D)
            kept.append(probs)
        ctx.save_for_backward(q, k, v, out, *kept)
        ctx.rows = rows
        return out

    @staticmethod
    def backward(ctx, d_out):
        q, k, v, out, *kept = ctx.saved_tensors
        B, KV, G, T, D = q.shape
        scale = D**-0.5
        flat_k, flat_v = k.reshape(B * KV, T, D), v.reshape(B * KV, T, D)
        d_q = torch.empty_like(q)
        d_k = torch.zeros(B * KV, T, D)
        d_v = torch.zeros(B * KV, T, D)
        # Row sums of d_out * out are what the softmax's backward pass subtracts.
        delta = (d_out.float() * out.float()).sum(-1, keepdim=True).to(q.dtype)
        for probs, begin in zip(kept, range(0, T, ctx.rows)):
            end = min(begin + ctx.rows, T)
            shape = (B * KV, G * (end - begin), D)
            block_d = d_out[..., begin:end, :].reshape(shape)
            d_v[:, :end] += torch.bmm(probs.transpose(1, 2), block_d)
            d_scores = torch.bmm(block_d, flat_v[:, :end].transpose(1, 2))
            d_scores -= delta[..., begin:end, :].reshape(B * KV, G * (end - begin), 1)
            d_scores *= probs
            d_scores *= scale
            d_q[..., begin:end, :] = torch.bmm(d_scores, flat_k[:, :end]).view(B, KV, G, end - begin, D)
            d_k[:, :end] += torch.bmm(d_scores.transpose(1, 2), q[..., begin:end, :].reshape(shape))
        return d_q, d_k.view(B, KV, T, D).to(k.dtype), d_v.view(B, KV, T, D).to(v.dtype), None


def attention(q, k, v, rows=256):
    if q.is_cuda:
        B, KV, G, T, D = q.shape
        k, v = (x[:, :, None].expand(B, KV, G, T, D).reshape(B, KV * G, T, D) for x in (k, v))
        return F.scaled_dot_product_attention(q.reshape(B, KV * G, T, D), k, v, is_causal=True).view(B, KV, G, T, D)
    return BlockedAttention.apply(q, k, v, rows)
