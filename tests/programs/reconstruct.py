"""A program for --external_reconstruct: the regularised map from the files that it is given (docs/method/06, 3.3 and 3.4).

Written from that description with numpy alone, so that it checks the files as a user's program would read them.
"""

import sys

import numpy as np


def read_star(name):
    """Returns the values of the list table and the columns of the loop table."""
    values, labels, rows = {}, [], []
    in_loop = False
    for line in open(name):
        words = line.split()
        if not words or words[0].startswith(("#", "data_")):
            in_loop = in_loop and not (words and words[0].startswith("data_"))
        elif words[0] == "loop_":
            in_loop = True
        elif words[0].startswith("_") and in_loop:
            labels.append(words[0][1:])
        elif words[0].startswith("_"):
            values[words[0][1:]] = words[1]
        else:
            rows.append([float(word) for word in words])
    return values, dict(zip(labels, np.array(rows).T))


def read_map(name):
    header = np.fromfile(name, dtype="<i4", count=256)
    x, y, z, mode = header[:4]
    assert mode == 2, f"{name} has mode {mode}"
    data = np.fromfile(name, dtype="<f4", offset=1024 + header[23])
    return data.reshape(z, y, x).astype(np.float64)


def write_map(name, data, pixel_size):
    header = np.zeros(256, dtype="<i4")
    z, y, x = data.shape
    header[:10] = [x, y, z, 2, 0, 0, 0, x, y, z]
    header[10:16].view("<f4")[:] = [x * pixel_size, y * pixel_size, z * pixel_size, 90, 90, 90]
    header[16:19] = [1, 2, 3]
    header[52] = int.from_bytes(b"MAP ", "little")
    header[53] = 0x4444
    with open(name, "wb") as out:
        out.write(header.tobytes())
        out.write(data.astype("<f4").tobytes())


def reconstruct(star):
    general, spectra = read_star(star)
    real, imaginary, weight = (
        read_map(general["rlnExtRecons" + key]) for key in ("DataReal", "DataImag", "Weight")
    )
    n = int(general["rlnOriginalImageSize"])
    dimensions = int(general["rlnReferenceDimensionality"])
    padding = float(general["rlnPaddingFactor"])
    fudge = float(general["rlnTau2FudgeFactor"])
    pixel_size = float(general["rlnPixelSize"])
    shells = int(general["rlnCurrentImageSize"]) // 2
    side = weight.shape[1]
    assert weight.shape == ((side if dimensions == 3 else 1), side, side // 2 + 1)

    signed = np.where(np.arange(side) <= side // 2, np.arange(side), np.arange(side) - side)
    along_z = signed if dimensions == 3 else np.zeros(1, dtype=int)
    squared = (
        along_z[:, None, None] ** 2 + signed[None, :, None] ** 2 + np.arange(side // 2 + 1) ** 2
    )
    radius = np.sqrt(squared)
    largest = round(shells * padding) ** 2
    assert not weight[squared > largest].any() and (weight >= 0).all()

    # The prior, from shell 5 on; without one the weights rise by a factor of 1001.
    shell = np.floor(radius / padding + 0.5).astype(int)
    tau2 = spectra["rlnReferenceTau2"][np.minimum(shell, len(spectra["rlnReferenceTau2"]) - 1)]
    known = tau2 > 1e-20
    prior = np.where(known, 1 / (padding**dimensions * fudge * np.where(known, tau2, 1)), 0)
    prior = np.where(~known & (weight > 1e-20), 1 / (0.001 * np.where(weight > 0, weight, 1)), prior)
    inside = squared < largest
    regularised = weight + np.where(inside & (shell >= 5), prior, 0)

    # No weight is below a thousandth of the mean of its shell.
    band = np.minimum(np.floor(radius / padding).astype(int), shells - 1)
    total = np.bincount(band[inside], regularised[inside], shells)
    count = np.maximum(np.bincount(band[inside], minlength=shells), 1)
    divisor = np.maximum(regularised, (total / count / 1000)[band])
    usable = (squared <= largest) & (divisor > 0)
    transform = np.where(usable, (real + 1j * imaginary) / np.where(usable, divisor, 1), 0) * n**2

    axes = (0, 1, 2) if dimensions == 3 else (1, 2)
    shape = [side] * len(axes)
    padded = np.fft.fftshift(np.fft.irfftn(transform, shape, axes=axes), axes=axes)
    low, high = side // 2 - n // 2, side // 2 - n // 2 + n
    keep = slice(low, high)
    image = padded[keep, keep, keep] if dimensions == 3 else padded[:, keep, keep]

    # Corners fade into their mean, and the interpolation is corrected for.
    line = np.arange(n) - n // 2
    z = line if dimensions == 3 else np.zeros(1)
    distance = np.sqrt(z[:, None, None] ** 2 + line[None, :, None] ** 2 + line**2)
    fade = 0.5 + 0.5 * np.cos(np.pi * (n / 2 + 3 - distance) / 3)
    outside = np.where(distance < n / 2, 0, np.where(distance > n / 2 + 3, 1, fade))
    mean = (outside * image).sum() / outside.sum()
    image = (1 - outside) * image + outside * mean
    image /= np.sinc(distance / (n * padding)) ** 2
    write_map(general["rlnExtReconsResult"], image, pixel_size)


reconstruct(sys.argv[1])
