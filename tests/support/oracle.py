"""An independent LLaMA in PyTorch, in double, over a Hugging Face folder: what exports and imports are
held against. Importing it ends the test as skipped where PyTorch is missing."""

import json
import sys

import harness
import training

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("PyTorch (Debian's python3-torch) is not installed")
    sys.exit(1 if harness.IN_CI else 77)


def load(folder):
    """config and name -> tensor in double of a Hugging Face folder."""
    config = json.loads((folder / "config.json").read_text())
    tensors = {}
    files = [training.read_safetensors(path) for path in sorted(folder.glob("*.safetensors"))]
    for name, (dtype, shape, data) in (item for file in files for item in file.items()):
        kind = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[dtype]
        tensors[name] = torch.frombuffer(bytearray(data), dtype=kind).double().reshape(shape)
    return config, tensors


def rmsnorm(x, gain, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * gain


def stretch(rates, scaling):
    """Llama 3's frequencies, as transformers' _compute_llama3_parameters has them."""
    context = scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    wavelengths = 2 * torch.pi / rates
    smooth = (context / wavelengths - low) / (high - low)
    between = (1 - smooth) * rates / scaling["factor"] + smooth * rates
    slow = torch.where(wavelengths > context / low, rates / scaling["factor"], between)
    return torch.where(wavelengths < context / high, rates, slow)


def rotate(x, config):
    """RoPE on [batch, head, position, feature], halves as pairs (transformers' convention)."""
    positions, features = x.shape[-2:]
    rates = config["rope_theta"] ** (-torch.arange(0, features, 2, dtype=torch.float64) / features)
    if "rope_scaling" in config:
        assert config["rope_scaling"]["rope_type"] == "llama3"
        rates = stretch(rates, config["rope_scaling"])
    angles = torch.outer(torch.arange(positions, dtype=torch.float64), rates).repeat(1, 2)
    half = torch.cat([-x[..., features // 2:], x[..., :features // 2]], dim=-1)
    return x * angles.cos() + half * angles.sin()


def attention(x, tensors, layer, config):
    def heads(name):
        y = x @ tensors[f"{layer}.self_attn.{name}.weight"].T
        return y.unflatten(-1, (-1, config["head_dim"])).transpose(1, 2)
    group = config["num_attention_heads"] // config["num_key_value_heads"]
    q = rotate(heads("q_proj"), config)
    k = rotate(heads("k_proj"), config).repeat_interleave(group, dim=1)
    v = heads("v_proj").repeat_interleave(group, dim=1)
    scores = q @ k.transpose(-1, -2) / config["head_dim"] ** 0.5
    future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
    y = scores.masked_fill(future, float("-inf")).softmax(-1) @ v
    return y.transpose(1, 2).flatten(2) @ tensors[f"{layer}.self_attn.o_proj.weight"].T


def logits(config, tensors, tokens):
    """[batch, position, vocabulary]"""
    eps = config["rms_norm_eps"]
    x = tensors["model.embed_tokens.weight"][tokens]
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        x = x + attention(rmsnorm(x, tensors[f"{layer}.input_layernorm.weight"], eps), tensors,
                          layer, config)
        y = rmsnorm(x, tensors[f"{layer}.post_attention_layernorm.weight"], eps)
        gate = F.silu(y @ tensors[f"{layer}.mlp.gate_proj.weight"].T)
        up = y @ tensors[f"{layer}.mlp.up_proj.weight"].T
        x = x + (gate * up) @ tensors[f"{layer}.mlp.down_proj.weight"].T
    assert ("lm_head.weight" in tensors) != config["tie_word_embeddings"]
    head = tensors["model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"]
    return rmsnorm(x, tensors["model.norm.weight"], eps) @ head.T


def loss(config, tensors, batch):
    tokens = torch.tensor(batch)
    predicted = logits(config, tensors, tokens[:, :-1])
    return F.cross_entropy(predicted.flatten(0, 1), tokens[:, 1:].flatten()).item()
