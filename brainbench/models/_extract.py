"""Features of every layer in one pass: each stimulus goes through the network once."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from itertools import chain
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor, nn

from brainbench.errors import BrainbenchError, InputError, ResourceError, UnknownNameError, UsageError, listed
from brainbench.models._pooling import check, pool, prefix_of
from brainbench.numerics._shapes import Float

TOLERANCE = 1e-4  # of the largest feature: what batch size and repetition may change


def extract(
    module: nn.Module,
    inputs: Sequence[Callable[[], Tensor]],
    layers: Mapping[str, str],
    *,
    device: str | torch.device = "cpu",
    batch_size: int | None = None,
    names: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Float[Tensor, "n p"]]:
    """Float32 features on the CPU of each layer in `layers` (name -> pooling), one row an input, in order.

    An input is called for its (channel, height, width) when its turn comes, from several threads at once. Batches
    hold 4 inputs on a CPU, where every core runs its own, and 64 elsewhere, unless `batch_size` says otherwise.
    `progress` is told, in the calling thread, how many more inputs are done. The module itself is left as it was:
    hooks, evaluation mode and device are those of private copies. Arithmetic is full float32, never TF32.

    Two inputs go through first to see which axis of each layer is the batch, and that repetition and batch size
    change nothing. Raises UnknownNameError for a layer or pooling that does not exist; InputError for a layer that is
    not called, called more than once, or does not give one finite tensor row an input, and for whatever the network
    raises; ResourceError where not even one input fits into memory (a batch that does not fit is halved, and only it
    is done again).
    """
    if not len(inputs) or not layers:
        raise UsageError(f"nothing to extract: {len(inputs)} inputs, {len(layers)} layers")
    device = torch.device(device)
    on_cpu = device.type == "cpu"
    labels = [f"input {i}" for i in range(len(inputs))] if names is None else [f"stimulus {name!r}" for name in names]
    n_threads = torch.get_num_threads() if on_cpu else min(16, os.cpu_count() or 1)
    size = batch_size or (4 if on_cpu else 64)
    with _full_precision(), _intra_op_threads(1 if on_cpu else torch.get_num_threads()):
        network = _Tapped(module, layers, device, size)
        found = _probed(network, inputs, labels)
        features = {name: torch.empty(len(inputs), p, dtype=torch.float32) for name, p in found.items()}
        # On a CPU small batches on one core each, with decoding in the same thread, beat large ones on all cores; on
        # an accelerator one network serves all threads, which decode ahead of it.
        n_copies = min(n_threads, math.ceil(len(inputs) / size)) if on_cpu else 1
        idle: SimpleQueue[_Tapped] = SimpleQueue()
        for tapped in (network, *(network.twin() for _ in range(n_copies - 1))):
            idle.put(tapped)

        def run(start: int) -> int:
            batch = _stacked(inputs, range(start, min(start + size, len(inputs))))
            tapped = idle.get()
            try:
                rows = tapped.rows(batch)
            finally:
                idle.put(tapped)
            for name, values in rows.items():
                _check_finite(name, values, labels[start : start + len(batch)])
                features[name][start : start + len(batch)] = values
            return len(batch)

        threads = ThreadPoolExecutor(n_threads)
        try:
            for done in as_completed([threads.submit(run, start) for start in range(0, len(inputs), size)]):
                count = done.result()
                if progress is not None:
                    progress(count)
        finally:
            threads.shutdown(cancel_futures=True)
    return features


def widths(
    module: nn.Module, inputs: Sequence[Callable[[], Tensor]], layers: Mapping[str, str], *, device: str | torch.device
) -> dict[str, int]:
    """How many features each layer will have. Raises as `extract` does; looks at the first two inputs alone."""
    with _full_precision():
        return _probed(
            _Tapped(module, layers, torch.device(device), 2), inputs, ["the first input", "the second input"]
        )


class _Tapped:
    """A private copy of a network with a hook on each layer, for one thread at a time."""

    def __init__(self, module: nn.Module, layers: Mapping[str, str], device: torch.device, size: int):
        known = dict(module.named_modules(remove_duplicate=False))
        for name, pooling in layers.items():
            check(pooling)
            if name not in known:
                raise UnknownNameError("layer", name, known.keys() - {""})
        self.module, self.layers, self.device = module, dict(layers), device
        self.size = size
        self.batch_axis = dict.fromkeys(layers, 0)
        # Channels last in memory is faster, but a `view` of what a convolution makes of it may be impossible.
        self.layouts: tuple[torch.memory_format, ...] = (torch.channels_last, torch.contiguous_format)
        self.prefix = prefix_of(module)
        self.network = private_copy(module, device)
        self.dtype = _floating_dtype(module)
        self._keep: Callable[[str, Tensor], Tensor]
        self._of_px: torch.Size
        self._caught: dict[str, Tensor] = {}
        for name in layers:
            self.network.get_submodule(name).register_forward_hook(partial(self._catch, name))

    def twin(self) -> _Tapped:
        """Another copy of the same network that reads it the same way."""
        twin = _Tapped(self.module, self.layers, self.device, self.size)
        twin.batch_axis, twin.layouts = self.batch_axis, self.layouts
        return twin

    def rows(self, batch: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b p"]]:
        """Pooled features on the CPU, in as many passes as memory needs; the size that fitted is kept."""
        parts, start = [], 0
        while start < len(batch):
            part = batch[start : start + self.size]
            try:
                parts.append(self._forward(part, self._pooled))
            except torch.OutOfMemoryError:
                if len(part) == 1:
                    raise ResourceError(
                        f"one input does not fit into the memory of {self.device}: use another device, or fewer layers"
                    ) from None
                self.size = len(part) // 2
                continue
            start += len(part)
        return {name: torch.cat([part[name] for part in parts]) for name in self.layers}

    def raw(self, batch: Float[Tensor, "b c h w"]) -> dict[str, Tensor]:
        """Whole outputs of the layers, on the device."""
        return self._forward(batch, lambda _, output: output.clone())

    @torch.no_grad()
    def _forward(self, batch: Tensor, keep: Callable[[str, Tensor], Tensor]) -> dict[str, Tensor]:
        self._keep, self._of_px = keep, batch.shape[-2:]
        try:
            self._call(batch)
            missing = [name for name in self.layers if name not in self._caught]
            if missing:
                raise InputError(
                    f"{len(missing)} layers were not called as modules in the forward pass: {listed(missing)}. Called "
                    f"were {listed(self._caught)}; a layer must be called through its module to be read."
                )
            return self._caught
        finally:
            self._caught = {}

    def _call(self, batch: Tensor) -> None:
        """One pass in the first layout that the network takes, which it is shown from then on."""
        for layout in self.layouts:
            self._caught = {}
            try:
                self.network(batch.to(self.device, self.dtype, memory_format=layout))
            except (BrainbenchError, torch.OutOfMemoryError):
                raise
            except Exception as error:
                if layout is self.layouts[-1]:
                    raise InputError(f"the network raised {type(error).__name__}: {error}") from error
            else:
                self.layouts = (layout,)
                return

    def _catch(self, name: str, _module: nn.Module, _arguments: Any, output: Any) -> None:
        if name in self._caught:
            raise InputError(
                f"layer {name!r} is called more than once in one forward pass (a module used in several places), "
                "so it has no one output: name the module around it"
            )
        # Copied here and now: the next module may work in place.
        self._caught[name] = self._keep(name, tensor_of(output, name))

    def _pooled(self, name: str, output: Tensor) -> Tensor:
        rows = output.movedim(self.batch_axis[name], 0)
        return pool(rows, self.layers[name], self.prefix, self._of_px).to("cpu", torch.float32, copy=True)


def private_copy(module: nn.Module, device: torch.device) -> nn.Module:
    """A copy in eval mode on `device` whose hooks, mode, attributes and buffers are its own.

    It shares the parameters of a module that is on `device` already. Raises InputError where the module cannot be
    copied.
    """
    parameters, buffers = list(module.parameters()), list(module.buffers())
    here = all(tensor.device == torch.empty(0, device=device).device for tensor in chain(parameters, buffers))
    shared: dict[int, Tensor] = {id(tensor): tensor for tensor in parameters} if here else {}
    # deepcopy refuses a tensor with a history; all others it copies, and those that share memory go on doing so.
    shared |= {id(tensor): tensor.detach().clone() for tensor in buffers if not tensor.is_leaf}
    try:
        copy = deepcopy(module, shared)
    except Exception as error:
        raise InputError(f"the {type(module).__name__} cannot be copied ({error}): copy.deepcopy must work") from error
    return copy.to(device).eval()


def tensor_of(output: Any, name: str) -> Tensor:
    """The floating-point tensor that a layer gave, alone or in a tuple of one. Raises InputError for all else."""
    if isinstance(output, tuple | list) and len(output) == 1:
        output = output[0]
    if isinstance(output, Tensor) and output.is_floating_point() and output.ndim:
        return output.detach()
    what = f"a tensor of {output.dtype}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
    if isinstance(output, tuple | list):
        what += f" of {listed(type(item).__name__ for item in output)}"
    raise InputError(f"layer {name!r} gives {what}, not one floating-point tensor: name a module inside it or after it")


def _probed(network: _Tapped, inputs: Sequence[Callable[[], Tensor]], labels: Sequence[str]) -> dict[str, int]:
    """The number of features of each layer; sets the network's batch axes and checks what the batch may not change."""
    pair = _stacked(inputs, [0, min(1, len(inputs) - 1)])
    try:
        first, again = network.raw(pair), network.raw(pair)
    except torch.OutOfMemoryError:
        network.size = 1  # every pass will hold one input, so there is nothing to compare
    else:
        alone, other = network.raw(pair[:1]), network.raw(pair[1:])
        for name, both in first.items():
            axis = batch_axis(both.shape, alone[name].shape)
            if axis is None:
                raise InputError(
                    f"the output of layer {name!r} is {tuple(alone[name].shape)} for 1 stimulus and "
                    f"{tuple(both.shape)} for 2: no axis is the batch. Layers that mix, split or drop stimuli "
                    "(windows, squeezes) cannot be read; name the module around it."
                )
            network.batch_axis[name] = axis
            _check_finite(name, both.movedim(axis, 0), labels)
            _check_agree(both, again[name], f"layer {name!r} answers the same batch differently the second time")
            for row, single in ((0, alone), (1, other)):  # a causal axis taken for the batch spares the first row
                told = f"layer {name!r} answers a stimulus differently beside another one"
                _check_agree(both.narrow(axis, row, 1), single[name], told)
    return {name: rows.shape[1] for name, rows in network.rows(pair[:1]).items()}


def batch_axis(two: Sequence[int], one: Sequence[int]) -> int | None:
    """The axis that is as long as the batch, in outputs of these shapes for 2 stimuli and for 1; None where none is.

    0 in most networks, 1 in transformers of (token, batch, dimension).
    """
    changed = [axis for axis, sizes in enumerate(zip(two, one)) if sizes[0] != sizes[1]]
    if len(two) == len(one) and len(changed) == 1 and (two[changed[0]], one[changed[0]]) == (2, 1):
        return changed[0]
    return None


def _check_agree(features: Tensor, others: Tensor, what: str) -> None:
    off = float((features - others).abs().max() / features.abs().max().clamp_min(torch.finfo(features.dtype).tiny))
    if off > TOLERANCE:
        raise InputError(
            f"{what}: by {off:.2g} of its largest feature, more than {TOLERANCE}. Dropout, noise or batch statistics "
            "stay on in eval mode; switch them off in the module."
        )


def _check_finite(name: str, rows: Tensor, labels: Sequence[str]) -> None:
    finite = rows.isfinite().reshape(len(rows), -1).all(dim=1)
    if not finite.all():
        at = labels[int(finite.logical_not().nonzero()[0])]
        raise InputError(f"layer {name!r} gives NaN or infinity for {at}, in float32: features must be finite")


def _stacked(inputs: Sequence[Callable[[], Tensor]], indices: Iterable[int]) -> Float[Tensor, "b c h w"]:
    pictures = [inputs[index]() for index in indices]
    shapes = {tuple(picture.shape) for picture in pictures}
    if len(shapes) > 1 or len(next(iter(shapes))) != 3:
        raise InputError(
            f"preprocessed stimuli must all have one shape (channel, height, width), got {sorted(shapes)}: "
            "resize and crop to a fixed size"
        )
    return torch.stack(pictures)


def _floating_dtype(module: nn.Module) -> torch.dtype:
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    if dtype.itemsize < 4:
        raise InputError(f"features are taken in float32, the module holds {dtype}: call module.float() first")
    return dtype


@contextmanager
def _full_precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        # Not in inference mode, whose tensors the threads, which are not in it, could not write to.
        with (
            torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
            torch.inference_mode(False),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _intra_op_threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)  # threads started from here on take it over
    try:
        yield
    finally:
        torch.set_num_threads(before)
