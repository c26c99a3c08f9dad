"""The picture of `visavis bench --plot`: milliseconds a frame against Gaussians."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

REAL_TIME = {"60 a second": 1000 / 60, "90 a second": 1000 / 90}
"""Lines across the picture: what a window and a headset ask for, ms."""
COLOURS = ("#0b7285", "#c2410c", "#6741d9", "#2b8a3e", "#868e96")


def draw_plot(results: list[dict[str, Any]], path: Path) -> None:
    """A panel for each size, a line for each renderer, dashed for two eyes."""
    sizes = sorted({(result["size"], result["height"]) for result in results})
    backends = sorted({result["backend"] for result in results})
    figure = Figure(figsize=(1.2 + 3.6 * len(sizes), 4.2), layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    for panel, size in zip(panels, sizes, strict=True):
        lines = defaultdict(list)
        for result in results:
            if (result["size"], result["height"]) == size:
                point = (result["gaussians"] / 1000, result["total_ms"]["p50"])
                lines[result["backend"], result["views"]].append(point)
        for (backend, views), points in sorted(lines.items()):
            panel.plot(
                *zip(*sorted(points), strict=True),
                color=COLOURS[backends.index(backend) % len(COLOURS)],
                linestyle="-" if views == 1 else "--",
                marker="o",
                markersize=4,
                label=f"{backend}, {'one eye' if views == 1 else 'two eyes'}",
            )
        for milliseconds in REAL_TIME.values():
            panel.axhline(milliseconds, color="0.75", linewidth=1, zorder=0)
        panel.set(title=f"{size[0]} x {size[1]}", xlabel="thousand Gaussians", yscale="log")
        panel.grid(alpha=0.2)
        panel.spines[["top", "right"]].set_visible(False)
        panel.yaxis.set_major_formatter("{x:g}")
    for name, milliseconds in REAL_TIME.items():
        panels[-1].annotate(
            name,
            (1, milliseconds),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            verticalalignment="center",
            color="0.45",
            fontsize=8,
        )
    panels[0].set_ylabel("milliseconds a frame, median")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})
