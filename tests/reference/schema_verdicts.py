"""Our validator and python3-jsonschema must agree about job.schema.json, spec by spec.

usage: schema_verdicts.py SPEC_VERDICT JOB_SCHEMA

Takes a few valid specs, puts every value of a list into every place, leaves every field out once and
adds an unknown one everywhere, and compares the verdicts over all of them. Exits with 77 where
jsonschema is not installed, except in CI.
"""

import copy
import json
import os
import subprocess
import sys

VALUES = [
    None, True, False, 0, -0.0, 1, -1, 2, 1.5, 0.5, 1e300, 600.0, 2**53 - 1, 300, 65536, 65537, "", "full", "mora",
    "remora", "lora", "relora", "cosine", "constant", "train", "prepare", "auto", "cuda", "a" * 64, "a" * 65, "ä", "/x", [], ["/x"],
    [1, 2], [0.5, 0.5], {}, {"train": 300}, {"train": 299}, {"name": "full"}, {"name": "mora", "r": 1},
    {"shards": "/s"}, {"files": ["/f"]}, {"shards": "/s", "files": "/f"}, {"name": "cosine", "warmup": 5},
]

TRAIN = {
    "kind": "train", "name": "t",
    "model": {"preset": "llama-9m", "tokenizer": "/t"},
    "data": {"train": [{"shards": "/s", "weight": 1.0}, {"files": "/f", "format": "text"}],
             "validation": {"shards": "/v", "sequences": 64}, "sequence_length": 256},
    "method": {"name": "remora", "r": 20, "operator": "sharing", "merge_every": 120, "groups": "paper"},
    "optimizer": {"name": "adamw", "lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "clip_norm": 1.0},
    "schedule": {"name": "jagged_cosine", "warmup": 60, "restart_warmup": 6, "min_lr_ratio": 0.1},
    "batch": {"global": 32, "micro": 8}, "steps": 600, "seed": 0,
    "compute": {"backend": "auto", "dtype": "auto", "deterministic": "world"},
    "launch": {"ranks": 2, "threads_per_rank": 1, "zero": 1, "overlap": "poll"},
    "checkpoint": {"every": 100, "keep_last": 2}, "evaluate": {"every": 100, "spectrum": True},
    "guard": {"max_skipped": 3, "spike_window": 50, "spike_z": 4.5},
    "stop": {"metric": "validation_loss", "patience": 3, "min_delta": 0.01, "max_time": 60.0},
    "retry": {"max_attempts": 3},
}
CONFIG = dict(copy.deepcopy(TRAIN), model={
    "from": "/runs/a@100",
    "config": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
    "tokenizer": {"train": 400}}, method={"name": "full"}, schedule={"name": "linear", "warmup": 1})
MORA = dict(copy.deepcopy(TRAIN), method={
    "name": "mora", "r": 4, "operator": "rotation", "columns": "mod", "rows": "tile", "pad": "zero", "pairing": "half",
    "fold": True, "rhat_rule": "floor", "targets": ["q_proj", "down_proj"], "train": ["norms"], "full_rank_steps": 5},
    schedule={"name": "mora_hf", "warmup": 1, "restart_warmup": 0, "restart_every": 5, "unwarmed_first": True})
RELORA = dict(copy.deepcopy(TRAIN), method={
    "name": "relora", "r": 4, "alpha": 32.0, "merge_every": 120, "reset": "magnitude", "reset_ratio": 0.9, "train": []})
ASYLORA = dict(copy.deepcopy(TRAIN), method={"name": "asylora", "r": 4, "alpha": 32.0, "freeze_a": False},
               schedule={"name": "constant"})
PREPARE = {"kind": "prepare", "name": "p", "inputs": ["/a", "/b"], "format": "jsonl", "text_field": "t",
           "tokenizer": {"train": 4096}, "validation_fraction": 0.02, "output": "/o", "seed": 1}


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], path + (key,))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from places(value[index], path + (index,))


def at(value, path):
    for part in path:
        value = value[part]
    return value


def variations(spec):
    yield spec
    for path in places(spec):
        for replacement in VALUES:
            if path:
                varied = copy.deepcopy(spec)
                at(varied, path[:-1])[path[-1]] = copy.deepcopy(replacement)
                yield varied
            else:
                yield copy.deepcopy(replacement)
        if path:
            varied = copy.deepcopy(spec)
            del at(varied, path[:-1])[path[-1]]
            yield varied
        if isinstance(at(spec, path), dict):
            for key in ("unknown", "steps", "tokens", "epochs", "shards", "files", "fraction", "r", "config"):
                varied = copy.deepcopy(spec)
                at(varied, path)[key] = 5
                yield varied


def main():
    try:
        import jsonschema
    except ImportError:
        print("python3-jsonschema is not installed")
        return 1 if "CI" in os.environ else 77
    tool, schema_path = sys.argv[1:]
    with open(schema_path) as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    reference = jsonschema.Draft202012Validator(schema)

    specs = [varied for spec in (TRAIN, CONFIG, MORA, RELORA, ASYLORA, PREPARE) for varied in variations(spec)]
    lines = "".join(json.dumps(spec) + "\n" for spec in specs)
    ours = subprocess.run([tool], input=lines, capture_output=True, text=True, check=True).stdout.split()
    assert len(ours) == len(specs), (len(ours), len(specs))
    differences = 0
    valid = 0
    for spec, verdict in zip(specs, ours):
        expected = "valid" if reference.is_valid(spec) else "invalid"
        valid += expected == "valid"
        if verdict != expected:
            differences += 1
            print(f"we say {verdict}, jsonschema says {expected}: {json.dumps(spec)}")
    print(f"{len(specs)} specs, {valid} valid, {differences} differences")
    return 1 if differences or not valid else 0


if __name__ == "__main__":
    sys.exit(main())
