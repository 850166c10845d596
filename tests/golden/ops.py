# Makes ops.txt: values of composite ops as PyTorch gives them. Run: python tests/golden/ops.py > tests/golden/ops.txt
#
# A case is a line `op NAME ATTR=VALUE ...`, a line `in DTYPE DIMS : VALUES` for each operand (`in none`: absent) and
# a line `out DTYPE DIMS : VALUES` for each result.
import math

import torch
import torch.nn.functional as F
import transformers
from transformers.activations import ACT2FN

torch.manual_seed(1)
print(f"# made by tests/golden/ops.py with torch {torch.__version__.split('+')[0]}, "
      f"transformers {transformers.__version__}")

NAMES = {torch.float32: "f32", torch.bfloat16: "bf16", torch.int64: "i64", torch.bool: "bool", torch.int32: "i32",
         torch.uint32: "u32"}


def show(word, t):
    if t is None:
        print(word, "none")
        return
    t = t.contiguous()
    values = " ".join(str(v) if t.dtype == torch.uint32 else "%.9g" % v for v in t.flatten().tolist())
    print(word, NAMES[t.dtype], *t.shape, ":", values)


def case(op, ins, outs, **attrs):
    print("op", op, *(f"{k}={v}" for k, v in attrs.items()))
    for t in ins:
        show("in", t)
    for t in outs if isinstance(outs, (list, tuple)) else [outs]:
        show("out", t)


def x(*dims, dtype=torch.float32, scale=2.0):
    return (torch.randn(*dims) * scale).to(dtype)


edge = torch.tensor([-100, -20, -5, -1, -1e-4, 0, 1e-6, 0.3, 1, 3, 20, 88, 100, 3000], dtype=torch.float32)
for name, fn in [
    ("gelu", F.gelu), ("gelu_tanh", ACT2FN["gelu_pytorch_tanh"]), ("gelu_tanh", ACT2FN["gelu_new"]),
    ("gelu_tanh", ACT2FN["gelu_fast"]), ("quick_gelu", ACT2FN["quick_gelu"]), ("relu", F.relu),
    ("relu2", ACT2FN["relu2"]), ("relu6", F.relu6), ("silu", F.silu), ("mish", F.mish), ("sigmoid", torch.sigmoid),
    ("softplus", F.softplus), ("hard_swish", F.hardswish), ("hard_tanh", F.hardtanh), ("elu", F.elu),
    ("leaky_relu", F.leaky_relu), ("square", torch.square), ("sign", torch.sign),
    ("expm1", lambda v: torch.expm1(v.double()).float()),
]:
    case(name, [edge], fn(edge))
case("hard_sigmoid", [edge], F.hardsigmoid(edge), alpha=1 / 6)
case("clamp", [edge], edge.clamp(-1, 2.5), lo=-1, hi=2.5)
case("clamp", [edge], edge.clamp(min=0.5), lo=0.5)
positive = torch.tensor([1e-9, 1e-7, 1e-4, 0.1, 1, 7, 1e6, 1e30], dtype=torch.float32)
case("log1p", [positive], torch.log1p(positive.double()).float())
case("rsqrt", [positive], torch.rsqrt(positive))
case("exp2", [edge[:11]], torch.exp2(edge[:11]))
a, b = x(2, 1, 3).round(), x(4, 1).round()
for name, fn in [("le", torch.le), ("ge", torch.ge), ("gt", torch.gt), ("ne", torch.ne)]:
    case(name, [a, b], fn(a, b))

v = x(2, 3, 4)
for axis in (-1, 0, 1):
    case("softmax", [v], F.softmax(v, axis), axis=axis)
    case("log_softmax", [v], F.log_softmax(v, axis), axis=axis)
    case("logsumexp", [v], torch.logsumexp(v, axis), axis=axis)
    case("logsumexp", [v], torch.logsumexp(v, axis, keepdim=True), axis=axis, keep="true")
half = x(3, 5, dtype=torch.bfloat16)
case("softmax", [half], F.softmax(half, -1, dtype=torch.float32).bfloat16())
holes = torch.tensor([[-math.inf, 1.0], [-math.inf, -math.inf]])
case("logsumexp", [holes], torch.logsumexp(holes, -1))
case("mean", [v], v.mean())
case("mean", [v], v.mean((0, 2), keepdim=True), axes="0,-1", keep="true")
case("variance", [v], v.var((1,), unbiased=False), axes="1")
case("variance", [v], v.var((1, 2), unbiased=True), axes="1,2", correction=1)
i = torch.tensor([[0, 2, 1], [3, 5, -1]])
case("one_hot", [i], (i[..., None] == torch.arange(4)).float(), depth=4)
case("cumsum", [v], v.cumsum(1), axis=1)
case("cumsum", [v], v.cumsum(1) - v, axis=1, exclusive="true")
case("cumsum", [v], v.flip(2).cumsum(2).flip(2), axis=-1, reverse="true")
case("index_select", [v, torch.tensor([2, 0])], v[:, [2, 0]], axis=1)
case("index_select", [v, torch.tensor([[1], [0]])], v[torch.tensor([[1], [0]])], axis=0)
case("index_select", [v, torch.tensor([[1, 3], [0, 2]])], v[:, :, torch.tensor([[1, 3], [0, 2]])], axis=-1)
take = torch.randint(0, 3, (2, 2, 4))
case("take_along", [v, take], torch.gather(v, 1, take), axis=1)
values, indices = torch.topk(v, 2, dim=-1)
case("top_k", [v], [values, indices], k=2)
values, indices = torch.topk(v, 2, dim=1, largest=False)
case("top_k", [v], [values, indices], k=2, axis=1, largest="false")
case("repeat", [v], v.repeat_interleave(3, 1), axis=1, n=3)

w, c = x(4), x(4)
case("layer_norm", [v, w, c], F.layer_norm(v, (4,), w, c, 1e-3), eps=1e-3)
case("layer_norm", [v, w, None], F.layer_norm(v, (4,), w))
case("layer_norm", [v, None, None], F.layer_norm(v, (4,)))
h, hw, hc = x(3, 8, dtype=torch.bfloat16), x(8, dtype=torch.bfloat16), x(8, dtype=torch.bfloat16)
case("layer_norm", [h, hw, hc], F.layer_norm(h, (8,), hw, hc))
rms = v * torch.rsqrt(v.pow(2).mean(-1, keepdim=True) + 1e-6)
case("rms_norm", [v, w], rms * w)
case("rms_norm", [v, None], rms)
case("rms_norm", [v, w], rms * (1 + w), offset=1)
hf = h.float()
hrms = (hf * torch.rsqrt(hf.pow(2).mean(-1, keepdim=True) + 1e-6))
case("rms_norm", [h, hw], hw * hrms.bfloat16())
case("l2_normalize", [v], F.normalize(v, dim=-1))
case("l2_normalize", [torch.zeros(2, 3)], F.normalize(torch.zeros(2, 3), dim=0), axis=0)
image, cw, cb = x(2, 4, 3, 2), x(4), x(4)
case("batch_norm", [image, cw, cb.abs(), cb, cw], F.batch_norm(image, cw, cb.abs(), cb, cw))
case("batch_norm", [image, cw, cb.abs(), None, None], F.batch_norm(image, cw, cb.abs(), eps=0.1), eps=0.1)
case("group_norm", [image, cw, cb], F.group_norm(image, 2, cw, cb), groups=2)
case("group_norm", [image, None, None], F.group_norm(image, 4), groups=4)

table = x(5, 3)
case("embedding", [torch.tensor([[4, 0], [1, 1]]), table], F.embedding(torch.tensor([[4, 0], [1, 1]]), table))
lw, lb = x(5, 4), x(5)
for t in (v, v[0], v[0, 0], x(2, 2, 3, 4)):
    case("linear", [t, lw, lb], F.linear(t, lw, lb))
case("linear", [v, lw, None], F.linear(v, lw))
m1, m2 = x(2, 3, 2, 4), x(2, 3, 4, 5)
case("matmul", [m1, m2], m1 @ m2)
case("matmul", [m1[0, 0], m2[0, 0]], m1[0, 0] @ m2[0, 0])

case("einsum", [m1, m2], torch.einsum("abij,abjk->kbi", m1, m2), eq="abij,abjk->kbi")

tokens, mask = x(2, 3, 4), torch.tensor([[1, 1, 0], [1, 1, 1]])
m = mask[..., None].float()
case("mean_pool", [tokens, mask], (tokens * m).sum(1) / m.sum(1).clamp(min=1e-9))
case("mean_sqrt_pool", [tokens, mask], (tokens * m).sum(1) / m.sum(1).clamp(min=1e-9).sqrt())
wm = m * torch.arange(1, 4).float()[None, :, None]
case("weighted_mean_pool", [tokens, mask], (tokens * wm).sum(1) / wm.sum(1))
case("max_pool", [tokens, mask], tokens.masked_fill(m == 0, -1e9).max(1).values)
case("cls_pool", [tokens], tokens[:, 0])
case("last_pool", [tokens, mask], torch.stack([tokens[0, 1], tokens[1, 2]]))
left = torch.tensor([[0, 1, 1], [0, 0, 1]])
case("last_pool", [tokens, left], tokens[:, 2])

q, k, val = x(2, 4, 3, 8, scale=1), x(2, 4, 5, 8, scale=1), x(2, 4, 5, 6, scale=1)
bias = x(2, 1, 3, 5)
seen = torch.rand(3, 5) > 0.3
seen[:, 0] = True
case("attention", [q, k, val, None, None], F.scaled_dot_product_attention(q, k, val))
case("attention", [q, k, val, bias, None], F.scaled_dot_product_attention(q, k, val, bias))
case("attention", [q, k, val, None, seen], F.scaled_dot_product_attention(q, k, val, seen, scale=0.5), scale=0.5)
probs = F.softmax((q @ k.transpose(-1, -2)) * 0.25 + bias, -1)
case("attention_probs", [q, k, bias, None], probs, scale=0.25)
case("attention_context", [probs, val], probs @ val)
capped = torch.tanh(q @ k.transpose(-1, -2) / 8**0.5 / 2) * 2
case("attention_probs", [q, k, None, None], F.softmax(capped, -1), softcap=2)
kg, vg = x(2, 2, 5, 8, scale=1), x(2, 2, 5, 6, scale=1)
grouped = F.scaled_dot_product_attention(q, kg.repeat_interleave(2, 1), vg.repeat_interleave(2, 1), bias)
case("attention", [q, kg, vg, bias, None], grouped)
blind = torch.zeros(3, 5, dtype=torch.bool)
blind[1] = True
some = F.scaled_dot_product_attention(q, k, val)
case("attention", [q, k, val, None, blind], torch.where(blind[:, :1], some, torch.zeros(())))
lowest = torch.zeros(2, 1, 3, 5)
lowest[:, :, 1] = torch.finfo(torch.float32).min
eager = F.softmax(q @ k.transpose(-1, -2) * 8**-0.5 + lowest, -1) @ val
case("attention", [q, k, val, lowest, None], eager)

pos, freq = torch.tensor([[0, 1, 7], [3, 2, 100]]), torch.tensor([1.0, 0.5, 0.1, 0.01])
angle = pos[:, None, :, None].float() * freq
cos, sin = angle.cos(), angle.sin()


def halves(t, c, s):
    p, r = t.chunk(2, -1)
    return torch.cat([p * c - r * s, r * c + p * s], -1)


def pairs(t, c, s):
    p, r = t[..., ::2], t[..., 1::2]
    return torch.stack([p * c - r * s, r * c + p * s], -1).flatten(-2)


case("rope", [q, pos, freq.expand(len(q), -1)], halves(q, cos, sin))
case("rope", [q, pos, freq.expand(len(q), -1)], pairs(q, cos, sin), pairs="true")
case("rope", [q, pos, freq[:2].expand(len(q), -1)], torch.cat([halves(q[..., :4], cos[..., :2], sin[..., :2]), q[..., 4:]], -1))
case("rope", [q, pos, freq.expand(len(q), -1)], halves(q, cos * 1.5, sin * 1.5), scale=1.5)

logits, labels = x(2, 3, 5), torch.tensor([[0, 4, -100], [2, 2, 1]])
flat = (logits.view(-1, 5), labels.view(-1))
case("cross_entropy", [logits, labels], F.cross_entropy(*flat))
case("cross_entropy", [logits, labels], F.cross_entropy(*flat, reduction="sum"), reduction="sum")
case("cross_entropy", [logits, labels], F.cross_entropy(*flat, reduction="none").view(2, 3), reduction="none")
case("cross_entropy", [logits, labels.clamp(min=0)],
     F.cross_entropy(flat[0], flat[1].clamp(min=0), ignore_index=2), ignore_index=2)
case("cross_entropy", [logits, labels], F.cross_entropy(*flat, label_smoothing=0.1), smoothing=0.1)
case("cross_entropy", [logits, labels * 0 - 100], F.cross_entropy(flat[0], flat[1] * 0 - 100))
target = (torch.rand(2, 3, 5) > 0.5).float()
case("bce_with_logits", [logits, target], F.binary_cross_entropy_with_logits(logits, target))
case("mse_loss", [logits, target], F.mse_loss(logits, target))
case("mse_loss", [logits, target], F.mse_loss(logits, target, reduction="none"), reduction="none")
case("l1_loss", [logits, target], F.l1_loss(logits, target, reduction="sum"), reduction="sum")

# Known answers of Random123 (kat_vectors): threefry2x32, 20 rounds.
keys = [[0, 0], [0xffffffff, 0xffffffff], [0x13198a2e, 0x03707344]]
counters = [[0, 0], [0xffffffff, 0xffffffff], [0x243f6a88, 0x85a308d3]]
answers = [[0x6b200159, 0x99ba4efe], [0x1cb996fc, 0xbb002be7], [0xc4923a9c, 0x483df7a0]]
words = [torch.tensor(v, dtype=torch.uint32) for v in (keys, counters, answers)]
case("threefry", words[:2], words[2])
case("uniform", words[:2], torch.tensor([(a[0] >> 8) / 2**24 for a in answers]))
case("categorical", [torch.tensor([[0, -math.inf, 0, 1], [-math.inf, 3, -math.inf, -math.inf]] * 2),
                     torch.tensor([0.3, 0.999999, 0.0, 0.5])], torch.tensor([2, 1, 0, 1]))
