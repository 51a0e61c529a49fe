"""A LLaMA (Touvron et al. 2023) in plain PyTorch and its training: autograd for the gradients,
torch.optim.AdamW for the updates, and the schedules and merges as remora-spec(5) has them."""

import math

import torch
import torch.nn.functional as F

import paper_methods
import philox

LINEARS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
WITH_CYCLES = ("relora", "remora")


def half_cosine(q):
    return 0.5 * (1.0 + math.cos(math.pi * q))


def mora_hf(t, steps, warmup, restarts, restart_warmup):
    """A ramp and a cosine to 0; from each restart on a ramp to the rate there and a new cosine."""
    begin, level, ramp = 0, 1.0, warmup

    def at(place):
        n = place - begin
        return level * (n / ramp if n < ramp else half_cosine((n - ramp) / (steps - begin - ramp)))

    for restart in restarts:
        begin, level, ramp = restart, at(restart), restart_warmup
    return at(t)


def rate(spec, t):
    """The learning rate of the update with 0-based index t over the peak."""
    schedule, N = spec["schedule"], spec["steps"]
    W, w = schedule["warmup"], schedule.get("restart_warmup", 0)
    first = spec["method"].get("full_rank_steps", 0)
    R = schedule.get("restart_every", spec["method"].get("merge_every"))
    m = schedule.get("min_lr_ratio", 0.1)

    def cosine(t):
        return m + (1.0 - m) * half_cosine((t - W) / (N - W))

    if t < W:
        return t / W
    if schedule["name"] == "constant":
        return 1.0
    if schedule["name"] == "linear":
        return m + (1.0 - m) * (1.0 - (t - W) / (N - W))
    if schedule["name"] == "cosine":
        return cosine(t)
    restarts = [start for start in range(first or R, N, R) if start <= t]
    if schedule["name"] == "jagged_cosine":
        s = t - restarts[-1] if restarts else w
        return cosine(t) if s >= w else s / w * cosine(restarts[-1] + w)
    assert schedule["name"] == "mora_hf"
    if t in restarts and schedule.get("unwarmed_first", False):
        restarts.remove(t)  # the rate that the restart finds
    return mora_hf(t, N, W, restarts, w)


class Llama:
    """tensors by their names in a checkpoint; adapters by the name of their weight."""

    def __init__(self, config, tensors, adapters):
        self.heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads", self.heads)
        self.layers = config["num_hidden_layers"]
        self.eps = config.get("rms_norm_eps", 1e-6)
        self.theta = config.get("rope_theta", 10000.0)
        self.tensors = tensors
        self.adapters = adapters
        self.adapted = True

    def linear(self, x, name):
        weight = self.tensors[name + ".weight"]
        if self.adapted and name + ".weight" in self.adapters:
            return self.adapters[name + ".weight"].forward(x, weight)
        return x @ weight.T

    def norm(self, x, name):
        size = x.pow(2).mean(dim=-1, keepdim=True)
        return x * torch.rsqrt(size + self.eps) * self.tensors[name + ".weight"]

    def turned(self, x):
        """x[B,heads,T,D] with the two halves of D as the parts of complex numbers (Su et al. 2021,
        halves as in Hugging Face's files)."""
        half = x.shape[-1] // 2
        frequency = self.theta ** (-torch.arange(half, dtype=torch.double) / half)
        angle = torch.arange(x.shape[-2], dtype=torch.double)[:, None] * frequency
        cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1)

    def attention(self, x, layer):
        def heads(letter, count):
            y = self.linear(x, f"{layer}.self_attn.{letter}_proj")
            return y.unflatten(-1, (count, -1)).transpose(1, 2)
        q = self.turned(heads("q", self.heads))
        k = self.turned(heads("k", self.kv_heads))
        k, v = (y.repeat_interleave(self.heads // self.kv_heads, dim=1)
                for y in (k, heads("v", self.kv_heads)))
        score = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        y = score.masked_fill(future, float("-inf")).softmax(dim=-1) @ v
        return self.linear(y.transpose(1, 2).flatten(2), f"{layer}.self_attn.o_proj")

    def mlp(self, x, layer):
        gate = self.linear(x, f"{layer}.mlp.gate_proj")
        up = self.linear(x, f"{layer}.mlp.up_proj")
        return self.linear(F.silu(gate) * up, f"{layer}.mlp.down_proj")

    def loss(self, tokens):
        x = self.tensors["model.embed_tokens.weight"][tokens[:, :-1]]
        for index in range(self.layers):
            layer = f"model.layers.{index}"
            x = x + self.attention(self.norm(x, f"{layer}.input_layernorm"), layer)
            x = x + self.mlp(self.norm(x, f"{layer}.post_attention_layernorm"), layer)
        logits = self.norm(x, "model.norm") @ self.tensors["lm_head.weight"].T
        return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


class Training:
    """A run: initial are the model's own tensors before step 1, numbers the place of every tensor
    in the checkpoint, by which random numbers are drawn."""

    def __init__(self, spec, initial, numbers, dtype):
        self.spec = spec
        self.method = spec["method"]
        self.warm = self.method.get("full_rank_steps", 0)
        self.numbers = numbers
        self.tensors = {name: value.to(dtype, copy=True) for name, value in initial.items()}
        self.adapters = {}
        self.update = {}  # what merges that rewrite a weight have added to it
        for name in self.targets():
            self.add_adapter(name, dtype)
        self.model = Llama(spec["model"]["config"], self.tensors, self.adapters)
        self.cycle = 0
        self.optimizer = self.create_optimizer()
        self.start_cycle()

    # ---- Who trains ----

    def linears(self):
        layers = self.spec["model"]["config"]["num_hidden_layers"]
        return [f"model.layers.{layer}.{linear}.weight" for layer in range(layers) for linear in LINEARS]

    def targets(self):
        if self.method["name"] == "full":
            return []
        names = self.method.get("targets", [linear.split(".")[1] for linear in LINEARS])
        return [name for name in self.linears() if name.split(".")[-2] in names]

    def add_adapter(self, name, dtype):
        draws = {suffix: philox.Draws(self.spec["seed"], self.numbers[f"{name}.{suffix}"])
                 for suffix in ("lora_A", "M") if f"{name}.{suffix}" in self.numbers}
        kind = paper_methods.ADAPTERS[self.method["name"]]
        self.adapters[name] = kind(self.method, *self.tensors[name].shape, draws, dtype)

    def is_full_rank(self):
        return self.warm > 0 and self.cycle == 0

    def trained(self, full_rank):
        """The names of what trains, in full-rank steps or behind them."""
        train = self.method.get("train", ["embeddings", "norms", "head"])
        names = [name for name, value in self.tensors.items() if value.dim() == 1
                 and "norms" in train]
        names += ["model.embed_tokens.weight"] * ("embeddings" in train)
        names += ["lm_head.weight"] * ("head" in train)
        if full_rank or self.method["name"] == "full":
            return names + self.linears()
        return names + [f"{name}.{suffix}" for name, adapter in self.adapters.items()
                        for suffix in adapter.tensors if suffix not in adapter.frozen]

    def find(self, name):
        weight, _, suffix = name.partition(".weight.")
        return self.adapters[weight + ".weight"].tensors[suffix] if suffix else self.tensors[name]

    def create_optimizer(self):
        options = self.spec["optimizer"]
        groups = {}
        for name in dict.fromkeys(self.trained(self.warm > 0) + self.trained(False)):
            weight, _, suffix = name.partition(".weight.")
            ratio = self.adapters[weight + ".weight"].ratios.get(suffix, 1.0) if suffix else 1.0
            decays = self.find(name).dim() == 2  # gains and lengths do not
            groups.setdefault((ratio, decays), []).append(self.find(name))
        self.ratios = [ratio for ratio, _ in groups]
        return torch.optim.AdamW(
            [{"params": tensors, "weight_decay": options.get("weight_decay", 0.0) * decays}
             for (_, decays), tensors in groups.items()],
            lr=0.0, betas=options.get("betas", (0.9, 0.999)), eps=options.get("eps", 1e-8))

    # ---- Cycles ----

    @torch.no_grad()
    def start_cycle(self):
        self.model.adapted = not self.is_full_rank()
        if self.model.adapted:
            adapter_cycle = self.cycle - (self.warm > 0)
            for name, adapter in self.adapters.items():
                adapter.restart(self.tensors[name], self.cycle, adapter_cycle)
        names = self.trained(self.is_full_rank())
        for group in self.optimizer.param_groups:
            for tensor in group["params"]:
                tensor.requires_grad_(False)
        for name in names:
            self.find(name).requires_grad_(True)

    def merge_is_due(self, step):
        every = self.method.get("merge_every", 0)
        if step < self.warm or step == self.spec["steps"]:
            return False
        return step == self.warm > 0 or every > 0 and (step - self.warm) % every == 0

    def reset(self, tensor, number):
        """Of the state of one tensor that restarts; the full-rank steps' is dropped, too."""
        kind = "zero" if self.is_full_rank() else self.method.get("reset", "zero")
        ratio = self.method.get("reset_ratio", 0.9)
        if kind == "zero":
            self.optimizer.state.pop(tensor)
            return
        state = self.optimizer.state[tensor]
        if kind == "random":
            draws = philox.Draws(self.spec["seed"], number)
            keeps = torch.from_numpy(draws.kept(tensor.numel(), ratio, self.cycle))
        else:
            size = state["exp_avg"].abs().flatten()
            keeps = torch.zeros(tensor.numel(), dtype=torch.bool)
            largest = size.sort(descending=True, stable=True).indices
            keeps[largest[:tensor.numel() - int(ratio * tensor.numel())]] = True
        for moment in ("exp_avg", "exp_avg_sq"):
            state[moment] *= keeps.reshape(tensor.shape)

    @torch.no_grad()
    def merge(self):
        """What was learnt becomes part of the weight, as in the papers."""
        for name in self.trained(self.is_full_rank()):
            if name in self.linears() or ".weight." in name:  # embeddings, gains, head go on
                self.reset(self.find(name), self.numbers[name])
        for name, adapter in self.adapters.items():
            if not self.is_full_rank():
                merged = adapter.merged(self.tensors[name])
                self.update[name] = self.update.get(name, 0.0) + merged - self.tensors[name]
                self.tensors[name].copy_(merged)
                if not adapter.forgets:
                    adapter.sums[adapter.kind] += adapter.matrix
        self.cycle += 1
        self.start_cycle()

    # ---- Steps ----

    def step(self, number, tokens):
        """Returns the loss before the update."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.model.loss(tokens)
        loss.backward()
        tensors = [tensor for group in self.optimizer.param_groups for tensor in group["params"]]
        torch.nn.utils.clip_grad_norm_(tensors, self.spec["optimizer"].get("clip_norm", 1.0))
        for group, ratio in zip(self.optimizer.param_groups, self.ratios):
            group["lr"] = self.spec["optimizer"]["lr"] * rate(self.spec, number - 1) * ratio
        self.optimizer.step()
        if self.merge_is_due(number):
            self.merge()
        return loss.item()

    # ---- What is left ----

    @torch.no_grad()
    def merged(self):
        """name -> value as a checkpoint's export has it."""
        merged = dict(self.tensors)
        if self.model.adapted:
            merged.update((name, adapter.merged(self.tensors[name]))
                          for name, adapter in self.adapters.items())
        return merged

    @torch.no_grad()
    def state(self):
        """name -> value of all that a checkpoint has beside the weights of linear layers."""
        state = {name: value for name, value in self.tensors.items() if name not in self.linears()}
        for name, adapter in self.adapters.items():
            for suffix, value in adapter.tensors.items():
                state[f"{name}.{suffix}"] = value
            for kind, value in getattr(adapter, "sums", {}).items():
                state[f"{name}.S.{kind}"] = value
        for name in self.trained(self.is_full_rank()):
            tensor = self.find(name)
            for moment in ("exp_avg", "exp_avg_sq"):
                zero = {moment: torch.zeros_like(tensor)}
                state[f"{name}.{moment}"] = self.optimizer.state.get(tensor, zero)[moment]
        return {**state, **self.sketches()}

    def sketches(self):
        """Of what merges added to the weights of the middle layer, where they rewrite them."""
        sketches = {}
        middle = self.spec["model"]["config"]["num_hidden_layers"] // 2
        for index, linear in enumerate(LINEARS):
            name = f"model.layers.{middle}.{linear}.weight"
            if self.method["name"] in WITH_CYCLES and name in self.adapters \
                    and self.adapters[name].forgets:
                d, k = self.tensors[name].shape
                omega = philox.sketch_matrix(self.spec["seed"], index, k, min(d, k, 1024))
                update = self.update.get(name, torch.zeros_like(self.tensors[name]))
                sketches[name + ".sketch"] = update @ torch.from_numpy(omega).to(update.dtype)
        return sketches

    def bases(self):
        """name -> weight of the linear layers in the checkpoint: sums stand beside it, else merges
        rewrite it."""
        return {name: self.tensors[name] - (self.update.get(name, 0.0) if name in self.adapters
                                            and not self.adapters[name].forgets else 0.0)
                for name in self.linears()}
