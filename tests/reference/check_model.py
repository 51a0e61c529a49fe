#!/usr/bin/env python3
"""check_model.py DUMP_MODEL — holds our training against PyTorch's.

An independent LLaMA with MoRA and ReMoRA in plain PyTorch, in double, written from the papers
(Touvron et al. 2023; Jiang et al. 2024, side path form) with autograd for the gradients and
torch.optim.AdamW for the updates. DUMP_MODEL trains a small model in C and writes what it started
from, its losses, its first gradients and what it ended with; all of them must agree.

Exits 77 where PyTorch is missing, 1 where CI is set and it is missing.
"""
import json
import os
import subprocess
import sys
import tempfile

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("PyTorch (Debian's python3-torch) is not installed")
    sys.exit(1 if os.environ.get("CI") else 77)

LOSS_ERROR_MAX = 1e-4
GRADIENT_ERROR_MAX = 1e-4
# Adam divides by the gradient's own size, so that the first updates magnify what is small.
UPDATE_ERROR_MAX = 1e-3
# Operands of 8 significant bits. Single tensors of so small a model are off by more than the whole
# gradient is; what adapters get is a sum over groups in which much cancels.
BF16_LOSS_ERROR_MAX = 2e-2
BF16_GRADIENT_ERROR_MAX = 1e-1
BF16_WHOLE_ERROR_MAX = 3e-2

KINDS = ("mod_tile", "blocks_interleave")
LINEARS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


def read_dump(folder):
    with open(os.path.join(folder, "model.json")) as file:
        dump = json.load(file)
    with open(os.path.join(folder, "tensors.bin"), "rb") as file:
        data = bytearray(file.read())
    dump["values"] = {"initial": {}, "gradient": {}, "final": {}}
    for entry in dump["tensors"]:
        count = 1
        for extent in entry["shape"]:
            count *= extent
        tensor = torch.frombuffer(data, dtype=torch.float32, count=count, offset=entry["offset"])
        dump["values"][entry["what"]][entry["name"]] = tensor.double().reshape(entry["shape"])
    return dump


def compress(x, kind, side):
    """MoRA's comp: features of a group are summed."""
    if kind == "mod_tile":
        pad = -x.shape[-1] % side
        x = torch.cat([x, x[..., :pad]], dim=-1)
        return x.reshape(*x.shape[:-1], -1, side).sum(dim=-2)
    return torch.stack([part.sum(dim=-1) for part in x.tensor_split(side, dim=-1)], dim=-1)


def decompress(z, kind, features):
    """MoRA's decomp: a group's value is repeated for all its outputs."""
    side = z.shape[-1]
    if kind == "mod_tile":
        return z.repeat(*[1] * (z.dim() - 1), -(-features // side))[..., :features]
    sizes = [len(part) for part in torch.arange(features).tensor_split(side)]
    return z.repeat_interleave(torch.tensor(sizes), dim=-1)


class Model:
    def __init__(self, dump):
        self.config = dump["config"]
        self.method = dump["method"]
        self.cycle = dump["cycle"]
        self.tensors = {name: value.clone() for name, value in dump["values"]["initial"].items()}
        for name in dump["values"]["gradient"]:
            self.tensors[name].requires_grad_(True)

    def kind(self):
        return KINDS[self.cycle % 2 if self.method == "remora" else 0]

    def linear(self, x, name):
        weight = self.tensors[name]
        y = x @ weight.T
        matrices = [(kind, name + ".S." + kind) for kind in KINDS] + [(self.kind(), name + ".M")]
        for kind, matrix_name in matrices:
            if matrix_name in self.tensors:
                matrix = self.tensors[matrix_name]
                z = compress(x, kind, matrix.shape[1])
                y = y + decompress(z @ matrix.T, kind, weight.shape[0])
        return y

    def norm(self, x, name):
        mean_sq = x.pow(2).mean(dim=-1, keepdim=True)
        return x * torch.rsqrt(mean_sq + self.config["rms_norm_eps"]) * self.tensors[name]

    def stretch(self, frequency):
        """Llama 3's scaling, by how often each pair turns within the original context."""
        scaling = self.config["rope_scaling"]
        if scaling["factor"] == 0:
            return frequency
        turns = scaling["original_max_position_embeddings"] * frequency / (2 * torch.pi)
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        share = ((turns - low) / (high - low)).clamp(0, 1)
        return share * frequency + (1 - share) * frequency / scaling["factor"]

    def rotate(self, x):
        """x[B,T,heads,D] with the two halves of D as the parts of complex numbers."""
        half = x.shape[-1] // 2
        frequency = self.stretch(self.config["rope_theta"] ** (-torch.arange(half).double() / half))
        angle = torch.arange(x.shape[1]).double()[:, None] * frequency
        turn = torch.polar(torch.ones_like(angle), angle)[None, :, None, :]
        turned = torch.complex(x[..., :half].contiguous(), x[..., half:].contiguous()) * turn
        return torch.cat([turned.real, turned.imag], dim=-1)

    def attention(self, x, prefix):
        B, T, _ = x.shape
        D = self.config["head_dim"]
        groups = self.config["num_attention_heads"] // self.config["num_key_value_heads"]
        q, k, v = (self.linear(x, f"{prefix}.self_attn.{letter}_proj.weight").reshape(B, T, -1, D)
                   for letter in "qkv")
        q, k = self.rotate(q), self.rotate(k)
        k, v = k.repeat_interleave(groups, dim=2), v.repeat_interleave(groups, dim=2)
        score = torch.einsum("bthd,buhd->bhtu", q, k) / D**0.5
        future = torch.ones(T, T, dtype=torch.bool).triu(1)
        weight = score.masked_fill(future, float("-inf")).softmax(dim=-1)
        mixed = torch.einsum("bhtu,buhd->bthd", weight, v).reshape(B, T, -1)
        return self.linear(mixed, f"{prefix}.self_attn.o_proj.weight")

    def mlp(self, x, prefix):
        gate = self.linear(x, f"{prefix}.mlp.gate_proj.weight")
        up = self.linear(x, f"{prefix}.mlp.up_proj.weight")
        return self.linear(F.silu(gate) * up, f"{prefix}.mlp.down_proj.weight")

    def loss(self, tokens):
        x = self.tensors["model.embed_tokens.weight"][tokens[:, :-1]]
        for layer in range(self.config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}"
            x = x + self.attention(self.norm(x, f"{prefix}.input_layernorm.weight"), prefix)
            x = x + self.mlp(self.norm(x, f"{prefix}.post_attention_layernorm.weight"), prefix)
        head = "model.embed_tokens" if self.config["tie_word_embeddings"] else "lm_head"
        logits = self.norm(x, "model.norm.weight") @ self.tensors[f"{head}.weight"].T
        return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

    def merge(self, optimizer):
        """The update becomes permanent; the adapter and its optimizer state start anew."""
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                if name.endswith(".M"):
                    self.tensors[name[:-1] + "S." + self.kind()] += tensor
                    tensor.zero_()
                    optimizer.state.pop(tensor, None)
        self.cycle += 1


def distance(actual, expected, scale):
    return ((actual - expected).norm() / scale.norm()).item()


def compare(name, error, bound, errors):
    errors.append((error / bound, name, error))
    if not error <= bound:
        print(f"  {name}: {error:.2e} is above {bound:.0e}")


def whole_distance(ours, theirs):
    """Of all tensors as one vector."""
    off = sum((value - theirs[name]).norm() ** 2 for name, value in ours.items())
    return (off / sum(theirs[name].norm() ** 2 for name in ours)).sqrt().item()


def train(model, dump, errors, dtype):
    loss_error_max = BF16_LOSS_ERROR_MAX if dtype == "bf16" else LOSS_ERROR_MAX
    gradient_error_max = BF16_GRADIENT_ERROR_MAX if dtype == "bf16" else GRADIENT_ERROR_MAX
    gains = [t for name, t in model.tensors.items() if t.requires_grad and t.dim() == 1]
    matrices = [t for name, t in model.tensors.items() if t.requires_grad and t.dim() == 2]
    optimizer = torch.optim.AdamW(
        [{"params": gains, "weight_decay": 0.0}, {"params": matrices}], lr=dump["lr"],
        betas=dump["betas"], eps=dump["eps"], weight_decay=dump["weight_decay"])
    tokens = torch.tensor(dump["tokens"])

    for step, our_loss in enumerate(dump["losses"], start=1):
        optimizer.zero_grad()
        loss = model.loss(tokens)
        loss.backward()
        compare(f"loss of step {step}", abs(our_loss / loss.item() - 1.0), loss_error_max, errors)
        if step == 1:
            for name, ours in dump["values"]["gradient"].items():
                theirs = model.tensors[name].grad
                compare(f"gradient of {name}", distance(ours, theirs, theirs), gradient_error_max,
                        errors)
            if dtype == "bf16":
                theirs = {name: model.tensors[name].grad for name in dump["values"]["gradient"]}
                compare("all gradients", whole_distance(dump["values"]["gradient"], theirs),
                        BF16_WHOLE_ERROR_MAX, errors)
        torch.nn.utils.clip_grad_norm_(gains + matrices, 1.0)
        optimizer.step()
        merge_every = model.config["merge_every"]
        if merge_every and step % merge_every == 0 and step < len(dump["losses"]):
            model.merge(optimizer)


def check(program, method, cycle, shape="tiny", dtype="fp32"):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, method, str(cycle), shape, dtype, folder], check=True)
        dump = read_dump(folder)
    model = Model(dump)
    errors = []
    train(model, dump, errors, dtype)
    # Adam turns a rounding of a small gradient into a whole step: in bf16 the losses tell.
    for name, ours in dump["values"]["final"].items() if dtype == "fp32" else ():
        theirs = model.tensors[name].detach()
        initial = dump["values"]["initial"][name]
        scale = theirs - initial
        if scale.norm() == 0.0:
            scale = torch.ones(1, dtype=torch.double)
        compare(f"final {name}", distance(ours, theirs, scale), UPDATE_ERROR_MAX, errors)
    worst = max(errors)
    print(f"{method}, cycle {cycle}, {shape}, {dtype}: {len(errors)} comparisons, "
          f"the worst is {worst[1]} with {worst[2]:.2e}")
    return worst[0] <= 1.0


def main():
    torch.set_num_threads(1)
    cases = [("full", 0), ("mora", 0), ("remora", 0), ("remora", 1)]
    cases += [("full", 0, "imported"), ("mora", 0, "imported"), ("full", 0, "tiny", "bf16"),
              ("mora", 0, "imported", "bf16"), ("remora", 1, "tiny", "bf16")]
    results = [check(sys.argv[1], *case) for case in cases]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
