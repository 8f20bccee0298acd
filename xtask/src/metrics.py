"""Reads /metrics of a cluster as Prometheus would: every line, with types that fit the names."""

import os
import sys
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

request = urllib.request.Request(os.environ["REMUDA_ADDR"] + "/metrics")
request.add_header("Authorization", "Bearer " + os.environ["REMUDA_TOKEN"])
with urllib.request.urlopen(request, timeout=30) as answer:
    kind = answer.headers["Content-Type"]
    text = answer.read().decode("utf-8")
if not kind.startswith("text/plain; version=0.0.4"):
    sys.exit(f"/metrics is served as {kind}")
families = list(text_string_to_metric_families(text))
seen = set()
for family in families:
    # The parser takes the end of a counter's name for its kind.
    name = family.name + ("_total" if family.type == "counter" else "")
    if not name.startswith("remuda_") or name in seen:
        sys.exit(f"{name} is foreign or stands twice")
    seen.add(name)
    if family.type not in ("counter", "gauge", "histogram") or not family.documentation:
        sys.exit(f"{name} is of type {family.type}: {family.documentation!r}")
    series = set()
    for sample in family.samples:
        key = (sample.name, tuple(sorted(sample.labels.items())))
        if key in series:
            sys.exit(f"{key} stands twice")
        series.add(key)
    if family.type == "histogram":
        last = {}
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "le"}
            key = tuple(sorted(labels.items()))
            if sample.name.endswith("_bucket"):
                if sample.value < last.get(key, 0):
                    sys.exit(f"buckets of {name} do not grow")
                last[key] = sample.value
            elif sample.name.endswith("_count") and sample.value != last.get(key):
                sys.exit(f"{name} counts {sample.value}, its last bucket {last.get(key)}")
if len(families) < 40:
    sys.exit(f"only {len(families)} families: {sorted(seen)}")
print(f"{len(families)} families, {sum(len(family.samples) for family in families)} samples")
