"""mambapy and PyTorch in a process of their own, run by path: neither our memory settings nor our BLAS reach them.

It reads pickled requests from standard input, answers on standard output, and ends with its input.
"""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from os import dup, dup2, fdopen
from pathlib import Path
from runpy import run_path
from typing import Any

STATUS = Path("/proc/self/status")
PEERS = {name: name for name in ("torch", "mambapy", "ncps", "snntorch")} | {"pykan": "kan"}  # and what each imports

take_turn: Callable[..., list[float]] = run_path(str(Path(__file__).with_name("timer.py")))["take_turn"]
Splines: Any = run_path(str(Path(__file__).with_name("peer_splines.py")))["Splines"]
torch: Any = None
mamba: Any = None


class Scan:
    """A selective scan on one set of inputs; its forward alone runs without recording gradients.

    Args:
        name: ``"mambapy"``, its own selective scan around its parallel scan, or ``"torch loop"``.
        arrays: x, dt, A, B, C, D as :func:`lasmlx.ops.selective_scan` takes them.
        w: weights of the loss ``sum(w y)``.
    """

    def __init__(self, name: str, arrays: dict[str, Any], w: Any) -> None:
        self.scan = {"mambapy": parallel_scan, "torch loop": loop_scan}[name]
        self.arrays = {k: torch.tensor(v, requires_grad=True) for k, v in arrays.items()}
        self.w = torch.tensor(w)

    def forward(self) -> Any:
        """y."""
        with torch.no_grad():
            return self.scan(**self.arrays)

    def forward_backward(self) -> tuple[Any, Any]:
        """y and all gradients."""
        y = self.scan(**self.arrays)
        return y, torch.autograd.grad(y, list(self.arrays.values()), self.w)

    def results(self) -> dict[str, Any]:
        """y and every gradient by name."""
        y, gradients = self.forward_backward()
        named = zip(self.arrays, gradients, strict=True)
        return {"y": y.detach().numpy()} | {f"d{k}": g.numpy() for k, g in named}

    def peak_growth(self) -> int | None:
        """Bytes by which this process grows in forward+backward, or None where the system does not tell."""
        if not STATUS.exists():
            return None
        before = resident("VmRSS")
        self.forward_backward()
        return max(0, resident("VmHWM") - before)


def parallel_scan(x: Any, dt: Any, A: Any, B: Any, C: Any, D: Any) -> Any:
    """mambapy's code; the method does not use its self."""
    return mamba.MambaBlock.selective_scan(None, x, dt, A, B, C, D)


def loop_scan(x: Any, dt: Any, A: Any, B: Any, C: Any, D: Any) -> Any:
    """A loop over time. (mambapy's indexes (b, t, d, n), whose backward is quadratic in t.)"""
    h = torch.zeros(x.shape[0], *A.shape)
    outputs = []
    for x_t, dt_t, B_t, C_t in zip(x.unbind(1), dt.unbind(1), B.unbind(1), C.unbind(1), strict=True):
        h = torch.exp(dt_t[..., None] * A) * h + (dt_t * x_t)[..., None] * B_t[:, None]
        outputs.append((h @ C_t[..., None]).squeeze(-1))
    return torch.stack(outputs, 1) + D * x


class LTC:
    """ncps's LTC, all neurons wired to all, six sub-steps an element of one second.

    Args:
        arrays: x (b, t, inputs), and by ncps's names what :func:`lasmlx.ops.ltc_scan` takes.
        w: weights of the loss ``sum(w y)``.
    """

    def __init__(self, arrays: dict[str, Any], w: Any) -> None:
        inputs, units = arrays["sensory_w"].shape
        wiring = import_module("ncps.wirings").FullyConnected(units, units)
        self.model = import_module("ncps.torch").LTC(inputs, wiring, implicit_param_constraints=False)
        self.weights = {k: self.model.rnn_cell._params[k] for k in arrays if k != "x"}
        for name, weight in self.weights.items():
            weight.data = torch.tensor(arrays[name])
        self.x, self.w = torch.tensor(arrays["x"], requires_grad=True), torch.tensor(w)

    def forward(self) -> Any:
        """y."""
        with torch.no_grad():
            return self.model(self.x)[0]

    def forward_backward(self) -> tuple[Any, Any]:
        """y and all gradients."""
        y, _ = self.model(self.x)
        return y, torch.autograd.grad(y, [self.x, *self.weights.values()], self.w)

    def results(self) -> dict[str, Any]:
        """y and every gradient by name."""
        y, gradients = self.forward_backward()
        named = zip(["x", *self.weights], gradients, strict=True)
        return {"y": y.detach().numpy()} | {f"d{k}": g.numpy() for k, g in named}


class LIF:
    """snntorch's Leaky, one element after another, behind a map where the arrays have one.

    Args:
        x: inputs (b, t, inputs); currents where there is no map W.
        arrays: beta and theta (units,), and W (units, inputs) or x, whose gradient is then taken.
        w: weights of the loss ``sum(w s)``.
    """

    def __init__(self, x: Any, arrays: dict[str, Any], w: Any) -> None:
        snntorch, surrogate = import_module("snntorch"), import_module("snntorch.surrogate")
        self.arrays = {k: torch.tensor(v, requires_grad=True) for k, v in arrays.items() if k in ("x", "W")}
        self.x, self.w = self.arrays.get("x", torch.tensor(x)), torch.tensor(w)
        beta, theta = torch.tensor(arrays["beta"]), torch.tensor(arrays["theta"])
        slope = surrogate.fast_sigmoid(slope=25)
        learnt = {"learn_beta": True, "learn_threshold": True}
        self.neurons = snntorch.Leaky(beta=beta, threshold=theta, spike_grad=slope, **learnt)
        self.arrays |= {"beta": self.neurons.beta, "theta": self.neurons.threshold}

    def forward(self) -> Any:
        """The spikes."""
        with torch.no_grad():
            return self.run()

    def run(self) -> Any:
        """The spikes, (b, t, units)."""
        spikes, v = [], torch.zeros(len(self.x), self.w.shape[2])
        for x in self.x.unbind(1):
            s, v = self.neurons(x @ self.arrays["W"].T if "W" in self.arrays else x, v)
            spikes.append(s)
        return torch.stack(spikes, 1)

    def forward_backward(self) -> tuple[Any, Any]:
        """The spikes and all gradients."""
        s = self.run()
        return s, torch.autograd.grad(s, list(self.arrays.values()), self.w)

    def results(self) -> dict[str, Any]:
        """The spikes and every gradient by name."""
        s, gradients = self.forward_backward()
        named = zip(self.arrays, gradients, strict=True)
        return {"y": s.detach().numpy()} | {f"d{k}": g.numpy() for k, g in named}


class Learner:
    """What is trained on bytes: it has ``logits`` and its parameters by name."""

    named: dict[str, Any]
    logits: Callable[[Any], Any]

    def size(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.named.values())

    def gradients(self, x: Any, y: Any) -> dict[str, Any]:
        """The logits, and the gradient of the mean cross-entropy by every parameter."""
        logits = self.logits(torch.tensor(x).long())
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(y).long().flatten()).backward()
        return {k: p.grad.numpy() for k, p in self.named.items()} | {"logits": logits.detach().numpy()}

    def start_training(self, x: Any, y: Any, lr: float, betas: Any, weight_decay: float, clip: float) -> None:
        """Ready for :meth:`train`."""
        self.x, self.y, self.clip = torch.tensor(x).long(), torch.tensor(y).long(), clip
        self.optimizer = torch.optim.AdamW(self.named.values(), lr=lr, betas=betas, weight_decay=weight_decay)

    def train(self) -> float:
        """One step; the loss in nats a byte."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(self.logits(self.x).flatten(0, 1), self.y.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.named.values(), self.clip)
        self.optimizer.step()
        return float(loss.item())


class Transformer(Learner):
    """Our ``transformer`` over bytes, in PyTorch and through its own causal attention.

    Args:
        heads: of attention.
        arrays: the parameters by our names.
    """

    def __init__(self, heads: int, arrays: dict[str, Any]) -> None:
        self.named = {k: torch.tensor(v, requires_grad=True) for k, v in arrays.items()}
        self.heads = heads
        self.layers = sum(k.endswith("attention.Q.weight") for k in arrays)

    def logits(self, x: Any) -> Any:
        """(b, t) to (b, t, 256)."""
        u = self.named["embedding.weight"][x]
        for i in range(self.layers):
            u = u + self.attention(f"stack.cells.{i}.", u)
            u = u + self.mlp(f"stack.cells.{i}.", u)
        return self.norm("norm.", u) @ self.named["head.weight"].T

    def attention(self, block: str, u: Any) -> Any:
        """(b, t, d) to what is added to it."""
        u = self.norm(f"{block}attention_norm.", u)
        b, t, d = u.shape
        q, k, v = (
            (u @ self.named[f"{block}attention.{name}.weight"].T).view(b, t, self.heads, -1).transpose(1, 2)
            for name in "QKV"
        )
        n = d // self.heads
        angle = torch.arange(t)[:, None] * 10000.0 ** (-2 * torch.arange(n // 2) / n)
        cos, sin = torch.cos(angle), torch.sin(angle)
        q, k = (
            torch.cat([a * cos - c * sin, a * sin + c * cos], -1) for a, c in (torch.chunk(p, 2, -1) for p in (q, k))
        )
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).reshape(b, t, d) @ self.named[f"{block}attention.O.weight"].T

    def mlp(self, block: str, u: Any) -> Any:
        """(b, t, d) to what is added to it."""
        u = self.norm(f"{block}mlp_norm.", u)
        W1, W2, W3 = (self.named[f"{block}mlp.W{i}.weight"].T for i in (1, 2, 3))
        return (torch.nn.functional.silu(u @ W1) * (u @ W3)) @ W2

    def norm(self, name: str, u: Any) -> Any:
        """RMSNorm."""
        return torch.nn.functional.rms_norm(u, u.shape[-1:], self.named[f"{name}weight"], 1e-5)


class Model(Learner):
    """Bytes to logits: embedding, ``mambapy.mamba.Mamba``, RMSNorm, head, as in mambapy's own language model.

    (That one's module imports CUDA packages.)

    Args:
        sizes: of ``mambapy.mamba.MambaConfig``.
        arrays: the parameters by name.
    """

    def __init__(self, sizes: dict[str, int], arrays: dict[str, Any]) -> None:
        config = mamba.MambaConfig(**sizes)
        d = config.d_model
        self.parts = torch.nn.ModuleDict(
            {
                "embedding": torch.nn.Embedding(256, d),
                "mamba": mamba.Mamba(config),
                "norm_f": mamba.RMSNorm(d),
                "lm_head": torch.nn.Linear(d, 256, bias=False),
            }
        )
        shapes = {k: v.shape for k, v in self.parts.state_dict().items()}
        self.parts.load_state_dict({k: torch.tensor(v).reshape(shapes[k]) for k, v in arrays.items()})
        self.named = dict(self.parts.named_parameters())
        self.caches = [(None, torch.zeros(1, config.d_inner, config.d_conv - 1)) for _ in range(config.n_layers)]
        self.count = 0

    def logits(self, x: Any) -> Any:
        """(b, t) to (b, t, 256)."""
        return self.head(self.parts["mamba"](self.parts["embedding"](x)))

    def head(self, u: Any) -> Any:
        """(..., d) to (..., 256)."""
        return self.parts["lm_head"](self.parts["norm_f"](u))

    def step(self, byte: int) -> Any:
        """Logits (256,) after one more byte."""
        with torch.inference_mode():
            u = self.parts["embedding"](torch.tensor([byte]))
            u, self.caches = self.parts["mamba"].step(u, self.caches)
            return self.head(u)[0]

    def steps(self, data: bytes) -> list[Any]:
        """Logits after each byte."""
        return [self.step(byte).numpy() for byte in data]

    def next_byte(self) -> Any:
        """One more step, through all bytes in turn."""
        self.count += 1
        return self.step(self.count % 256)


KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Scan, LTC, LIF, Splines, Transformer, Model)}


def resident(field: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (the most so far) of this process, bytes."""
    found = re.search(rf"^{field}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def start() -> dict[str, Any]:
    """Import the peers and say what they are."""
    global torch, mamba
    torch, mamba = import_module("torch"), import_module("mambapy.mamba")
    return {
        "versions": {name: version(name) for name, module in PEERS.items() if find_spec(module)},
        "threads": {"torch": torch.get_num_threads()},
    }


def serve() -> None:
    """Answer ``(action, object, name, arguments)`` until the input ends; see :class:`lasmlx.benchmark.peers.Peers`."""
    replies = fdopen(dup(1), "wb")
    dup2(2, 1)  # what libraries print is no reply
    objects: list[Any] = []

    def answer(action: str, index: int, name: str, arguments: tuple[Any, ...]) -> Any:
        if action == "start":
            return start()
        if action == "new":
            objects.append(KINDS[name](*arguments))
            return len(objects) - 1
        method = getattr(objects[index], name)
        if action == "call":
            return method(*arguments)
        if action == "run":
            method()
            return None
        return take_turn(method, *arguments)

    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            reply = (True, answer(*request))
        except Exception as error:
            reply = (False, f"{type(error).__name__}: {error}")
        pickle.dump(reply, replies)
        replies.flush()


if __name__ == "__main__":
    serve()
