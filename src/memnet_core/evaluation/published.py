"""Published scores of other methods on the standard test sets.

Gray planes: Tables 1 to 6 of the paper. Colors: QGAC (ECCV 2020), FBCNN (ICCV 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Figures",
    "KnownSet",
    "input_scores",
    "known_set",
    "published",
    "published_sets",
]

Figures = tuple[float, float | None]
"""PSNR in dB, and SSIM or None if it was not published."""


@dataclass(frozen=True)
class KnownSet:
    """A test set with published scores.

    `name` is spelled as in the paper; `halved` sets are scored at half their size.
    """

    name: str
    images: int
    halved: bool = False


_SETS = {
    "classic5": KnownSet("Classic5", 5),
    "live1": KnownSet("LIVE1", 29),
    "set5": KnownSet("Set5", 5),
    "set14": KnownSet("Set14", 14),
    "bsd100": KnownSet("BSD100", 100),
    "b100": KnownSet("BSD100", 100),
    "urban100": KnownSet("Urban100", 100),
    "s14": KnownSet("14 images", 14),
    "14images": KnownSet("14 images", 14),
    "bsd200": KnownSet("BSD200", 200, halved=True),
}


@dataclass(frozen=True)
class _Table:
    """A table of the paper.

    Attributes
    ----------
    systems : tuple of str
        Column names.
    rows : str
        A line for each set and level: PSNR/SSIM, PSNR, or ``-``, by column.
    input : str
        Column of the degraded images, if there is one.
    """

    systems: tuple[str, ...]
    rows: str
    input: str = ""


# ruff: noqa: E501
_TABLES: dict[int, _Table] = {
    1: _Table(
        ("MemNet_NL", "MemNet_NS", "MemNet"),
        """
Set5 2 37.68/.9591 37.71/.9592 37.78/.9597
Set5 3 33.96/.9235 34.00/.9239 34.09/.9248
Set5 4 31.60/.8878 31.65/.8880 31.74/.8893
""",
    ),
    2: _Table(
        (
            "VDSR",
            "DRCN",
            "RED",
            "MemNet, 91 images, one output",
            "MemNet, 91 images",
            "MemNet, 291 images",
        ),
        """
Set5 3 33.66 33.82 33.82 33.92 33.98 34.09
""",
    ),
    3: _Table(
        ("BM3D", "EPLL", "PCLR", "PGPD", "WNNM", "RED", "MemNet"),
        """
14 images 30 28.49/.8204 28.35/.8200 28.68/.8263 28.55/.8199 28.74/.8273 29.17/.8423 29.22/.8444
14 images 50 26.08/.7427 25.97/.7354 26.29/.7538 26.19/.7442 26.32/.7517 26.81/.7733 26.91/.7775
14 images 70 24.65/.6882 24.47/.6712 24.79/.6997 24.71/.6913 24.80/.6975 25.31/.7206 25.43/.7260
BSD200 30 27.31/.7755 27.38/.7825 27.54/.7827 27.33/.7717 27.48/.7807 27.95/.8019 28.04/.8053
BSD200 50 25.06/.6831 25.17/.6870 25.30/.6947 25.18/.6841 25.26/.6928 25.75/.7167 25.86/.7202
BSD200 70 23.82/.6240 23.81/.6168 23.94/.6336 23.89/.6245 23.95/.6346 24.37/.6551 24.53/.6608
""",
    ),
    4: _Table(
        ("Bicubic", "SRCNN", "VDSR", "DRCN", "DnCNN", "LapSRN", "DRRN", "MemNet"),
        """
Set5 2 33.66/.9299 36.66/.9542 37.53/.9587 37.63/.9588 37.58/.9590 37.52/.959 37.74/.9591 37.78/.9597
Set5 3 30.39/.8682 32.75/.9090 33.66/.9213 33.82/.9226 33.75/.9222 - 34.03/.9244 34.09/.9248
Set5 4 28.42/.8104 30.48/.8628 31.35/.8838 31.53/.8854 31.40/.8845 31.54/.885 31.68/.8888 31.74/.8893
Set14 2 30.24/.8688 32.45/.9067 33.03/.9124 33.04/.9118 33.03/.9128 33.08/.913 33.23/.9136 33.28/.9142
Set14 3 27.55/.7742 29.30/.8215 29.77/.8314 29.76/.8311 29.81/.8321 - 29.96/.8349 30.00/.8350
Set14 4 26.00/.7027 27.50/.7513 28.01/.7674 28.02/.7670 28.04/.7672 28.19/.772 28.21/.7721 28.26/.7723
BSD100 2 29.56/.8431 31.36/.8879 31.90/.8960 31.85/.8942 31.90/.8961 31.80/.895 32.05/.8973 32.08/.8978
BSD100 3 27.21/.7385 28.41/.7863 28.82/.7976 28.80/.7963 28.85/.7981 - 28.95/.8004 28.96/.8001
BSD100 4 25.96/.6675 26.90/.7101 27.29/.7251 27.23/.7233 27.29/.7253 27.32/.728 27.38/.7284 27.40/.7281
Urban100 2 26.88/.8403 29.50/.8946 30.76/.9140 30.75/.9133 30.74/.9139 30.41/.910 31.23/.9188 31.31/.9195
Urban100 3 24.46/.7349 26.24/.7989 27.14/.8279 27.15/.8276 27.15/.8276 - 27.53/.8378 27.56/.8376
Urban100 4 23.14/.6577 24.52/.7221 25.18/.7524 25.14/.7510 25.20/.7521 25.21/.756 25.44/.7638 25.50/.7630
""",
        input="Bicubic",
    ),
    5: _Table(
        ("JPEG", "ARCNN", "TNRD", "DnCNN", "MemNet"),
        """
Classic5 10 27.82/.7595 29.03/.7929 29.28/.7992 29.40/.8026 29.69/.8107
Classic5 20 30.12/.8344 31.15/.8517 31.47/.8576 31.63/.8610 31.90/.8658
LIVE1 10 27.77/.7730 28.96/.8076 29.15/.8111 29.19/.8123 29.45/.8193
LIVE1 20 30.07/.8512 31.29/.8733 31.46/.8769 31.59/.8802 31.83/.8846
""",
        input="JPEG",
    ),
    6: _Table(
        ("M4R6", "M6R6", "M6R8", "M10R10"),
        """
Set5 3 34.05 34.09 34.16 34.23
""",
    ),
}

_COLOR_TABLES: dict[int, _Table] = {
    5: _Table(
        ("JPEG", "QGAC", "FBCNN"),
        """
LIVE1 10 25.69 27.62 27.77
LIVE1 20 28.06 29.88 30.11
LIVE1 40 30.28 32.05 32.34
""",
        input="JPEG",
    )
}
"""PSNR over RGB of JPEGs with 4:2:0 chroma, by the number of the gray table."""

_MEASURED_INPUTS: dict[tuple[int, str], dict[float, Figures]] = {
    (3, "14 images"): {
        30.0: (18.59, 0.3256),
        50.0: (14.15, 0.1863),
        70.0: (11.23, 0.1196),
    }
}
"""Input scores of tables without such a column, by table and set: measured on images on
which BM3D scores as published (benchmarks/quality.py)."""


def known_set(folder_name: str) -> KnownSet | None:
    """Return the known set that a folder is named after, if any."""
    return _SETS.get("".join(c for c in folder_name.lower() if c.isalnum()))


def published(
    table: int, name: str, *, colors: bool = False
) -> dict[float, dict[str, Figures]]:
    """Return the published scores on a set, by level and system.

    Parameters
    ----------
    table : int
        Number of the table in the paper.
    name : str
        Name of a `KnownSet`.
    colors : bool
        Whether to return scores over RGB of the same task.

    Returns
    -------
    dict of float to dict of str to (float, float or None)
        Empty if there are none.
    """
    tables = _COLOR_TABLES if colors else _TABLES
    if table not in tables:
        return {}
    systems = tables[table].systems
    figures: dict[float, dict[str, Figures]] = {}
    for line in tables[table].rows.strip().splitlines():
        row, level = _set_and_level(line, tables[table])
        if row != name:
            continue
        cells = line.split()[-len(systems) :]
        figures[level] = {
            system: _figures(cell)
            for system, cell in zip(systems, cells, strict=True)
            if cell != "-"
        }
    return figures


def published_sets(table: int) -> tuple[KnownSet, ...]:
    """Return the sets of a table of the paper, in its order."""
    lines = _TABLES[table].rows.strip().splitlines()
    known = {each.name: each for each in _SETS.values()}
    named = dict.fromkeys(_set_and_level(line, _TABLES[table])[0] for line in lines)
    return tuple(known[name] for name in named)


def input_scores(
    table: int, name: str, *, colors: bool = False
) -> dict[float, Figures]:
    """Return the scores of a set's degraded images by level; see `published`.

    The paper does not score noisy images; those of the 14 images were measured once.
    """
    tables = _COLOR_TABLES if colors else _TABLES
    measured = {} if colors else _MEASURED_INPUTS.get((table, name), {})
    system = tables[table].input if table in tables else ""
    stated = {
        level: figures[system]
        for level, figures in published(table, name, colors=colors).items()
        if system in figures
    }
    return measured | stated


def _set_and_level(line: str, table: _Table) -> tuple[str, float]:
    *names, level = line.split()[: -len(table.systems)]
    return " ".join(names), float(level)


def _figures(cell: str) -> Figures:
    psnr, _, ssim = cell.partition("/")
    return float(psnr), float(ssim) if ssim else None
