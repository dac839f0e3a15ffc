#!/usr/bin/python3
"""Summary of tools/peers/step.sh: step_summary.py FOLDER ROUNDS, with own-N.json, peer-N.jsonl."""
import json
import pathlib
import statistics
import sys


def read_own(path):
    report = json.loads(path.read_text())
    result = next(r for r in report["results"] if r["kind"] == "train")
    if result["skipped"] or not result["good"]:
        raise SystemExit(f"Trivium: {result['skipped'] or result['check']}")
    return report, result


def read_peer(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    rates = [line["tokens_per_s"] for line in lines if "tokens_per_s" in line]
    return lines[0], rates, lines[-1]


def mib(count):
    return "-" if count is None else f"{count / 2**20:.0f} MiB"


def others(report):
    """The part of the cores' time that other processes had while Trivium ran."""
    before, after = report["before"], report["after"]
    if before["cpu_total"] is None:
        return 0
    passed, busy, own = (after[key] - before[key] for key in ("cpu_total", "cpu_busy", "cpu_own"))
    return max(0, busy - own) / passed


def print_rates(name, medians, lowest, highest):
    print(f"{name:<10} {statistics.median(medians):12.1f} {lowest:12.1f} {highest:12.1f}   "
          + " ".join(f"{median:.1f}" for median in medians))


def main():
    folder, rounds = pathlib.Path(sys.argv[1]), range(1, int(sys.argv[2]) + 1)
    own = [read_own(folder / f"own-{n}.json") for n in rounds]
    peers = [read_peer(folder / f"peer-{n}.jsonl") for n in rounds]
    (report, result), (about, _, peak) = own[0], peers[0]
    own_medians = [r["median"] for _, r in own]
    peer_medians = [statistics.median(rates) for _, rates, _ in peers]
    ratios = [a / b for a, b in zip(own_medians, peer_medians)]
    training = result["training"]

    print(f"{result['name']}, {training['parameters']:.0f} parameters, {report['date'][:10]}, "
          f"{report['host']['cpu']} with {report['host']['cores']} cores")
    print(f"Trivium {report['trivium']}: {report['device']['name']}, {report['device']['driver']}")
    clips = "clipping" if about["clip"] else "no clipping"
    print(f"PyTorch {about['torch']}: {about['device']}, {about['threads']} threads, "
          f"{about['precision']}, {clips}, attention by {about['attention']}, "
          f"{about['parameters']} parameters\n")
    print(f"tokens/s   {'median':>12} {'least':>12} {'most':>12}   medians of the rounds")
    print_rates("Trivium", own_medians, min(r["min"] for _, r in own),
                max(r["max"] for _, r in own))
    print_rates("PyTorch", peer_medians, min(min(rates) for _, rates, _ in peers),
                max(max(rates) for _, rates, _ in peers))
    print(f"ratio      {statistics.median(own_medians) / statistics.median(peer_medians):12.3f} "
          f"{min(ratios):12.3f} {max(ratios):12.3f}   "
          + " ".join(f"{ratio:.3f}" for ratio in ratios))
    most = 100 * max(others(r) for r, _ in own)
    print(f"others     had {most:.0f} % of the cores' time at most while Trivium ran")
    print(f"\nmemory     Trivium: plan {mib(training['plan_bytes'])}, whole process "
          f"{mib(training['host_bytes'])}; PyTorch: whole process {mib(peak['resident_bytes'])}"
          + (f", device {mib(peak['device_bytes'])}" if "device_bytes" in peak else ""))


if __name__ == "__main__":
    main()
