"""Turn the JSON lines of bench.py into Markdown tables: python3 table.py FILE...

A cell measured several times shows the median, and the range of the CPU figure.
"""

from __future__ import annotations

import json
import statistics
import sys

Rows = list[dict]


def cost(v: float) -> str:
    return f"{v / 1000:.1f} ms" if v >= 9950 else f"{v:.0f}"


def middle(rows: Rows, key: str, q: str = "") -> float | None:
    vals = [(r.get(key) or {}).get(q) if q else r.get(key) for r in rows]
    vals = [v for v in vals if v is not None]
    return statistics.median(vals) if vals else None


def cpu(rows: Rows, key: str) -> str:
    vals = sorted(r[key] for r in rows if key in r)
    if not vals:
        return "-"
    text = cost(statistics.median(vals))
    return f"{text} ({cost(vals[0])}..{cost(vals[-1])})" if len(vals) > 1 else text


def pair(rows: Rows, key: str) -> str:
    a, b = middle(rows, key, "p50"), middle(rows, key, "p99")
    return "-" if a is None or b is None else f"{a:.1f} / {b:.1f}"


TABLES = {
    "CPU us per request at modest rate, idle subtracted": (
        "req",
        lambda r: cpu(r, "cpu_us_per_req_net"),
    ),
    "Pick ms p50 / p99 at modest rate": ("req", lambda r: pair(r, "pick_ms")),
    "Requests measured / errors at modest rate": (
        "req",
        lambda r: f"{sum(x.get('sent', 0) for x in r)} / {sum(x.get('errors', 0) for x in r)}",
    ),
    "Peak RSS MiB at modest rate": ("req", lambda r: str(middle(r, "rss_peak_mib"))),
    "Closed loop, CPU us per request": ("max/", lambda r: cpu(r, "cpu_us_per_req")),
    "Closed loop, requests/s on one core": ("max/", lambda r: f"{middle(r, 'rps'):.0f}"),
    "Closed loop, pick ms p50 / p99": ("max/", lambda r: pair(r, "pick_ms")),
    "Closed loop, picker cores / driver cores / errors / peak RSS MiB": (
        "max/",
        lambda r: (
            f"{middle(r, 'cpu_cores')} / {middle(r, 'driver_cores')} / {sum(x['errors'] for x in r)} / {middle(r, 'rss_peak_mib')}"
        ),
    ),
    "Idle: cores / scrapes per s / CPU us per scrape / RSS MiB": (
        "idle/",
        lambda r: " / ".join(
            str(middle(r, k)) for k in ("idle_cores", "scrapes_per_s", "us_per_scrape", "rss_mib")
        ),
    ),
    "20 requests/s on that pool: pick ms p50 / p99": ("idle-pick/", lambda r: pair(r, "pick_ms")),
}


def main() -> None:
    rows: dict[tuple[str, str], Rows] = {}
    for path in sys.argv[1:]:
        with open(path) as f:
            for line in f:
                r = json.loads(line)
                rows.setdefault((r["target"], r["cell"]), []).append(r)
    targets = list(dict.fromkeys(t for t, _ in rows))
    cells = list(dict.fromkeys(c for _, c in rows))
    for title, (prefix, cell) in TABLES.items():
        use = [c for c in cells if c.startswith(prefix)]
        cols = [t for t in targets if any((t, c) in rows for c in use)]
        if not use or not cols:
            continue
        print(f"\n{title}\n\n| cell | " + " | ".join(cols) + " |\n|---" + "|---" * len(cols) + "|")
        for c in use:
            print(
                f"| {c} | "
                + " | ".join(cell(rows[t, c]) if (t, c) in rows else "-" for t in cols)
                + " |"
            )


if __name__ == "__main__":
    main()
