"""`sinter train` on images beside torch: the losses of tiny ResNets and ViTs, their weights and running statistics after
some steps, accumulation too. Rows come in their order from idx files that are made here, or are PNG files of any size,
in folders or in a dataset, which go through an image processor of Transformers.

Usage: image_training.py SINTER [--count N] [--seed N] [--device D]"""
import json
import os
import random
import struct
import subprocess
import tempfile

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

import other_rows as rows
import random_decoders as decoders
from seeds import main

STEPS, BATCH, SIDE, RATE = 6, 8, 16, 0.05
TOLERANCE = 2e-4


def idx(path, array):
    with open(path, "wb") as f:
        f.write(struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def processor_of(rng):
    """A processor by Pillow that ends with images of SIDE x SIDE, and its class's other defaults."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
    from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
    whole = {"height": SIDE, "width": SIDE}
    return rng.choice([
        lambda: ViTImageProcessorPil(size=whole, resample=rng.choice([0, 1, 2, 3, 4, 5])),
        lambda: ViTImageProcessorPil(size=SIDE, do_normalize=rng.random() < 0.5, rescale_factor=1 / 127.5),
        lambda: DeiTImageProcessorPil(size={"height": SIDE + 5, "width": SIDE + 2}, crop_size=whole),
        lambda: CLIPImageProcessorPil(size={"shortest_edge": SIDE + rng.randint(-3, 9)}, crop_size=whole),
        lambda: ConvNextImageProcessorPil(size={"shortest_edge": SIDE}, crop_pct=rng.choice([0.875, 0.9])),
    ])()


def pictures(path, rng, values, labels):
    """PNG files of any size; what the processor makes of them."""
    files = []
    for i, k in enumerate(labels):
        size = (rng.randint(3, 60), rng.randint(3, 60), 4)
        image = Image.fromarray(values.integers(0, 256, size, dtype=np.uint8), "RGBA").convert(rng.choice(["RGB", "RGBA", "P", "L"]))
        os.makedirs(path("folder", "class%d" % k), exist_ok=True)
        files.append(path("folder", "class%d" % k, "%04d.png" % i))
        image.save(files[-1])
    processor = processor_of(rng)
    processor.save_pretrained(path("model"))
    if rng.random() < 0.5:
        import datasets
        d = datasets.Dataset.from_dict({"image": files, "label": [int(k) for k in labels]})
        d.cast_column("image", datasets.Image()).save_to_disk(path("saved"))
        where = path("saved")
    else:  # in the order of their folders
        order = sorted(range(len(files)), key=lambda i: files[i])
        files, labels, where = [files[i] for i in order], labels[order], path("folder")
    x = processor([Image.open(f).convert("RGB") for f in files], return_tensors="pt")["pixel_values"]
    return x, labels, where, "%s %s" % (type(processor).__name__, processor.to_dict())


def model_of(rng, generator, channels):
    family = rng.choice(["resnet", "vit"])
    change = dict(rng.choice(rows.FAMILIES[family][1][:3]), num_channels=channels)
    change.update({"image_size": SIDE, "patch_size": 4} if family == "vit" else {})
    model = rows.make(family, change, "ForImageClassification")
    decoders.randomise(model, generator)
    rows.positive(model)
    return f"{family} {change}", model


def train(model, x, y, times):
    """PyTorch's own loop: SGD, the gradient clipped; of micro-batches the mean over all their labels, or where a model's
    loss knows nothing of num_items_in_batch, the sum, as of Trainer."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    losses = []
    for step in range(STEPS):
        total = 0.0
        first, end = step * times * BATCH, min((step + 1) * times * BATCH, len(y))
        for k in range(first, end, BATCH):
            at = slice(k, min(k + BATCH, end))
            loss = model(pixel_values=x[at], labels=y[at], num_items_in_batch=end - first).loss
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total)
    return losses


def run(args, rng, seed, folder):
    generator = torch.Generator().manual_seed(seed)
    is_plain = rng.random() < 0.4
    name, model = model_of(rng, generator, 1 if is_plain else 3)
    times = rng.choice([1, 2])
    path = lambda *part: os.path.join(folder, *part)
    model.save_pretrained(path("model"))
    n = STEPS * times * BATCH - rng.choice([0, 3])
    labels = np.concatenate([np.arange(rows.LABELS), torch.randint(0, rows.LABELS, (n - rows.LABELS,), generator=generator).numpy()])
    if is_plain:
        images = torch.randint(0, 256, (n, SIDE, SIDE), generator=generator).numpy().astype(np.uint8)
        idx(path("images-ubyte"), images)
        idx(path("labels-ubyte"), labels.astype(np.uint8))
        where = [path("images-ubyte"), path("labels-ubyte")]
        x = torch.tensor((images.astype(np.float32) / 255 - 0.5) / 0.5)[:, None]
    else:
        x, labels, where, said = pictures(path, rng, np.random.default_rng(seed), labels)
        name += " " + said
    config = dict(model_name_or_path=path("model"), train_file=where,
                  output_dir=path("out"), max_steps=STEPS, per_device_train_batch_size=BATCH, learning_rate=RATE, optim="sgd",
                  lr_scheduler_type="constant", gradient_accumulation_steps=times, logging_steps=1, save_strategy="no",
                  train_sampling_strategy="sequential")
    with open(path("train.json"), "w") as f:
        json.dump(config, f)
    done = subprocess.run([args.sinter, "train", path("train.json"), "--device", args.device], capture_output=True, text=True)
    if done.returncode:
        return f"{name}: {done.stderr.strip()}"
    with open(path("out", "train_log.jsonl")) as f:
        got = [line["loss"] for line in map(json.loads, f) if "loss" in line]
    want = train(model, x, torch.tensor(labels), times)
    off = max(abs(a - b) / (1 + abs(b)) for a, b in zip(got, want))
    if len(got) != STEPS or not off <= TOLERANCE:
        return f"{name} x{times}: losses {got} for {want}"
    found = load_file(path("out", "model.safetensors"))
    model.save_pretrained(path("torch"))
    for key, v in load_file(path("torch", "model.safetensors")).items():
        if key not in found:
            return f"{name}: no {key}"
        over = ((found[key].double() - v.double()).abs() / (1 + v.double().abs())).max().item()
        if not over <= TOLERANCE:
            return f"{name} x{times}: {key}: {over:.2g} off"
    return None


def one(args, seed):
    with tempfile.TemporaryDirectory() as folder:
        return run(args, random.Random(seed), seed, folder)


if __name__ == "__main__":
    main(one, 6, "sinter", "--device")
