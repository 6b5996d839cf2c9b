"""Layers of splines in PyTorch, for ``peer_process.py``, which runs this by path."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Splines:
    """A layer of splines on one set of inputs; its forward alone runs without recording gradients.

    Args:
        name: ``"pykan"``, its ``KANLayer``, or ``"torch"``, de Boor's recursion and one product.
        arrays: x (rows, d), C (d, K, out) and W (out, d), as :func:`lasmlx.ops.bspline_linear` takes them.
        knots: (d, K + degree + 1).
        w: weights of the loss ``sum(w y)``.
    """

    def __init__(self, name: str, arrays: dict[str, Any], knots: Any, degree: int, w: Any) -> None:
        self.torch = torch = import_module("torch")
        self.knots, self.degree, self.w = torch.tensor(knots), degree, torch.tensor(w)
        self.arrays = {k: torch.tensor(v, requires_grad=True) for k, v in arrays.items()}
        self.layer: Any = None
        if name == "pykan":
            self.layer = self.pykan()

    def pykan(self) -> Any:
        """Its layer with our numbers, which then are its parameters."""
        d, many, out = self.arrays["C"].shape
        layer = import_module("kan.KANLayer").KANLayer(d, out, many - self.degree, self.degree, sp_trainable=False)
        layer.grid.data, layer.scale_sp.data = self.knots, self.torch.ones(d, out)
        layer.coef.data = self.arrays["C"].detach().transpose(1, 2).contiguous()
        layer.scale_base.data = self.arrays["W"].detach().T.contiguous()
        self.arrays |= {"C": layer.coef, "W": layer.scale_base}
        return layer

    def run(self) -> Any:
        """y (rows, out)."""
        if self.layer is not None:
            return self.layer(self.arrays["x"])[0]
        x, C, W = self.arrays["x"], self.arrays["C"], self.arrays["W"]
        splines = self.basis(x).flatten(1) @ C.flatten(0, 1)
        return splines + self.torch.nn.functional.silu(x) @ W.T

    def basis(self, x: Any) -> Any:
        """Every function, (rows, d, K)."""
        x, t = x[..., None], self.knots
        B = ((x >= t[:, :-1]) & (x < t[:, 1:])).to(x.dtype)
        for p in range(1, self.degree + 1):
            rise = (x - t[:, : -p - 1]) / (t[:, p:-1] - t[:, : -p - 1])
            fall = (t[:, p + 1 :] - x) / (t[:, p + 1 :] - t[:, 1:-p])
            B = rise * B[..., :-1] + fall * B[..., 1:]
        return B

    def forward(self) -> Any:
        """y."""
        with self.torch.no_grad():
            return self.run()

    def forward_backward(self) -> tuple[Any, Any]:
        """y and all gradients."""
        y = self.run()
        return y, self.torch.autograd.grad(y, list(self.arrays.values()), self.w)

    def results(self) -> dict[str, Any]:
        """y and every gradient by name, shaped as ours."""
        y, (dx, dC, dW) = self.forward_backward()
        if self.layer is not None:
            dC, dW = dC.transpose(1, 2), dW.T
        return {"y": y.detach().numpy(), "dx": dx.numpy(), "dC": dC.numpy(), "dW": dW.numpy()}
