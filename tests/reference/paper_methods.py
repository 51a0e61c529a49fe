"""The methods in their papers' own form: a side path beside the frozen weight, y = W0 x + adapter(x).
Gradients are autograd's. Where papers and their authors' code differ, remora-spec(5) says which of
the two is meant."""

import math

import torch
import torch.nn.functional as F

# The authors' types of sharing, 1 to 4: how columns are grouped, and how rows are.
TYPES = {"mod_tile": ("mod", "tile"), "blocks_interleave": ("blocks", "interleave"),
         "blocks_tile": ("blocks", "tile"), "mod_interleave": ("mod", "interleave")}


# ---- MoRA's operators: Jiang et al. 2024, §3.2 ----

def filled(x, side, pad):
    """x up to a multiple of side: with its own beginning as the authors' code does, or zeros."""
    missing = -x.shape[-1] % side
    if pad == "zero":
        return F.pad(x, (0, missing))
    return torch.cat([x, x[..., :missing]], dim=-1)


def repeated(y, d):
    """y one behind the other, cut off at d."""
    return y.repeat(*[1] * (y.dim() - 1), -(-d // y.shape[-1]))[..., :d]


class Sharing:
    """Equations 6 and 7: the sums of groups of inputs go in, and groups of outputs are equal."""

    def __init__(self, kind, pad):
        self.columns, self.rows = TYPES[kind]
        self.pad = pad

    def __call__(self, matrix, x, d):
        side = matrix.shape[0]
        if self.columns == "mod":
            z = filled(x, side, self.pad).unflatten(-1, (-1, side)).sum(dim=-2)
        else:
            z = torch.stack([part.sum(dim=-1) for part in x.tensor_split(side, dim=-1)], dim=-1)
        z = z @ matrix.T
        if self.rows == "tile":
            return repeated(z, d)
        sizes = torch.tensor([len(part) for part in torch.arange(d).tensor_split(side)])
        return z.repeat_interleave(sizes, dim=-1)


class PermutedSharing:
    """Sharing with every so many-th of the columns and rows in another order."""

    def __init__(self, column_order, row_order):
        self.column_order = torch.tensor(column_order)
        self.row_order = torch.tensor(row_order)

    def __call__(self, matrix, x, d):
        z = filled(x[..., self.column_order], matrix.shape[0], "zero")
        y = repeated(z.unflatten(-1, (-1, matrix.shape[0])).sum(dim=-2) @ matrix.T, d)
        return y[..., self.row_order.argsort()]


class Truncation:
    """Equations 4 and 5: the first inputs and outputs take part."""

    def __call__(self, matrix, x, d):
        side = matrix.shape[0]
        return F.pad(x[..., :side] @ matrix.T, (0, d - side))


class Decoupling:
    """Equation 8: the input is cut into chunks, and each goes through the matrix."""

    def __init__(self, pad, fold):
        self.pad = pad
        self.fold = fold

    def turned(self, chunks):
        return chunks

    def __call__(self, matrix, x, d):
        side = matrix.shape[0]
        y = self.turned(filled(x, side, self.pad).unflatten(-1, (-1, side))) @ matrix.T
        outputs = -(-d // side)
        if self.fold and y.shape[-2] > outputs:
            y = torch.stack([y[..., i::outputs, :].sum(dim=-2) for i in range(outputs)], dim=-2)
        return repeated(y.flatten(-2), d)


class Rotation(Decoupling):
    """Equations 9 to 11: and what tells the chunks apart is a rotation (Su et al. 2021)."""

    def __init__(self, pad, fold, pairing):
        super().__init__(pad, fold)
        self.pairing = pairing

    def turned(self, chunks):
        count, side = chunks.shape[-2:]
        theta = 10000.0 ** (-2.0 * torch.arange(side // 2, dtype=torch.double) / side)
        angle = torch.arange(count, dtype=torch.double)[:, None] * theta
        if self.pairing == "interleaved":
            turn = torch.polar(torch.ones_like(angle), angle)
            turn = torch.view_as_real(turn).to(chunks.dtype)
            pairs = torch.view_as_complex(chunks.unflatten(-1, (-1, 2)).contiguous())
            return torch.view_as_real(pairs * torch.view_as_complex(turn)).flatten(-2)
        angle = torch.cat([angle, angle], dim=-1)
        half = torch.cat([-chunks[..., side // 2:], chunks[..., :side // 2]], dim=-1)
        return chunks * angle.cos().to(chunks.dtype) + half * angle.sin().to(chunks.dtype)


def side_of(method, d, k):
    """r̂ of MoRA's matrix: as many parameters as LoRA of rank r would have."""
    root = math.sqrt((d + k) * method["r"])
    side = int(root if method.get("rhat_rule") == "floor" else root + 0.5)
    side = min(side, d, k)
    return side - side % 2 if method.get("operator") == "rotation" else side


def kinds_of(method):
    """The names of the group kinds that cycles go through."""
    operator = method.get("operator", "sharing")
    if operator != "sharing":
        return [operator]
    if method["name"] == "mora":
        kind = (method.get("columns", "mod"), method.get("rows", "tile"))
        return [name for name, groups in TYPES.items() if groups == kind]
    groups = method.get("groups", "paper")
    return {"paper": list(TYPES)[:2], "official": list(TYPES), "permuted": ["permuted"]}[groups]


# ---- What stands beside a weight [d, k] ----

class LowRank:
    """LoRA, Hu et al. 2022: s B (A x), s = alpha / r. Also LoRA+, which has another rate for B
    (Hayou et al. 2024), AsyLoRA, whose A is orthonormal and frozen (Zhu et al. 2024), and ReLoRA
    (Lialin et al. 2023) between two merges."""

    forgets = True

    def __init__(self, method, d, k, draws, dtype):
        self.orthonormal = method["name"] == "asylora"
        self.draws = draws["lora_A"]
        self.scale = method.get("alpha", 16.0) / method["r"]
        self.a = torch.zeros(method["r"], k, dtype=dtype)
        self.b = torch.zeros(d, method["r"], dtype=dtype)
        self.tensors = {"lora_A": self.a, "lora_B": self.b}
        self.frozen = {"lora_A"} if self.orthonormal and method.get("freeze_a", True) else set()
        self.ratios = {"lora_B": method.get("lr_ratio", 16.0)} if method["name"] == "lora_plus" else {}

    def restart(self, weight, cycle, adapter_cycle):
        draw = self.draws.orthonormal_rows if self.orthonormal else self.draws.kaiming
        self.a.copy_(torch.from_numpy(draw(tuple(self.a.shape), cycle)))
        self.b.zero_()

    def forward(self, x, weight):
        return x @ weight.T + self.scale * ((x @ self.a.T) @ self.b.T)

    def merged(self, weight):
        return weight + self.scale * (self.b @ self.a)


class Decomposed(LowRank):
    """DoRA, Liu et al. 2024, equation 5; its norms are constants for the gradient (§4.3)."""

    def __init__(self, method, d, k, draws, dtype):
        super().__init__(method, d, k, draws, dtype)
        self.magnitude = torch.zeros(d, dtype=dtype)
        self.tensors["magnitude"] = self.magnitude

    def restart(self, weight, cycle, adapter_cycle):
        super().restart(weight, cycle, adapter_cycle)
        self.magnitude.copy_(weight.norm(dim=1))

    def lengths(self, weight):
        return super().merged(weight).norm(dim=1).detach()

    def forward(self, x, weight):
        return self.magnitude / self.lengths(weight) * super().forward(x, weight)

    def merged(self, weight):
        return (self.magnitude / self.lengths(weight))[:, None] * super().merged(weight)


class Square:
    """MoRA and ReMoRA, Jiang et al. 2024: decomp(M comp(x))."""

    frozen = set()
    ratios = {}

    def __init__(self, method, d, k, draws, dtype):
        self.method = method
        self.d = d
        self.k = k
        self.draws = draws["M"]
        self.kinds = kinds_of(method)
        self.forgets = self.kinds == ["permuted"]
        side = side_of(method, d, k)
        self.matrix = torch.zeros(side, side, dtype=dtype)
        self.tensors = {"M": self.matrix}
        self.sums = {}
        if method["name"] == "remora" and not self.forgets:
            self.sums = {kind: torch.zeros(side, side, dtype=dtype) for kind in self.kinds}

    def restart(self, weight, cycle, adapter_cycle):
        pad = self.method.get("pad", "wrap")
        fold = self.method.get("fold", False)
        self.kind = self.kinds[adapter_cycle % len(self.kinds)]
        if self.kind == "permuted":
            self.operator = PermutedSharing(*self.draws.orders(self.d, self.k, cycle))
        elif self.kind == "truncation":
            self.operator = Truncation()
        elif self.kind == "decoupling":
            self.operator = Decoupling(pad, fold)
        elif self.kind == "rotation":
            self.operator = Rotation(pad, fold, self.method.get("pairing", "half"))
        else:
            self.operator = Sharing(self.kind, pad)
        self.matrix.zero_()

    def forward(self, x, weight):
        return x @ weight.T + self.operator(self.matrix, x, self.d)

    def merged(self, weight):
        """What the operator makes of the unit vectors are the columns of its matrix."""
        unit = torch.eye(self.k, dtype=self.matrix.dtype)
        return weight + self.operator(self.matrix, unit, self.d).T


ADAPTERS = {"lora": LowRank, "lora_plus": LowRank, "asylora": LowRank, "relora": LowRank,
            "dora": Decomposed, "mora": Square, "remora": Square}
