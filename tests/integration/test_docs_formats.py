"""What the man pages say of formats is true: the fields of specs, records and manifests, the layouts of
files."""

import json
import re
import unittest

import harness
import manpages


class Formats(unittest.TestCase):
    def test_fields_of_records(self):
        """Each function that appends a record sets the fields that the page has for its type, itself or
        by a function that it hands them to."""
        written = {}
        functions = re.split(r"(?m)^}$", manpages.sources("worker/train"))
        helpers = {name: text for text in functions
                   for name in re.findall(r"(?m)^static void (set_\w+)\(json_t \*fields", text)}
        self.assertTrue(helpers)
        for function in functions:
            found = re.search(r"records_append\(\s*&trainer->records,\s*\"(\w+)\"", function)
            if found:
                for name in re.findall(r"\b(set_\w+)\(fields,", function):
                    function += helpers[name]
                exact = set(re.findall(r"records_set_exact\(fields, \"(\w+)\"", function))
                written[found.group(1)] = (
                    set(re.findall(r"\"([a-z_]+)\"", function)) - {found.group(1)}
                    | {f"{name}_bits" for name in exact})
        parts = manpages.sections(manpages.sections(manpages.page("remora-run.5"))["RECORDS"], "Ss")
        every = manpages.names(parts.pop("Every record"))
        self.assertEqual(every, {"type", "attempt", "step", "time_ms"})
        self.assertEqual({kind: manpages.names(text) for kind, text in parts.items()}, written)

    def test_members_of_a_manifest(self):
        schema = json.loads((harness.SOURCE / "schemas" / "manifest.schema.json").read_text())
        parts = manpages.sections(manpages.page("remora-checkpoint.5"), "Ss")
        self.assertEqual(manpages.names(parts["The manifest"]), set(schema["properties"]))
        self.assertEqual(set(schema["$defs"]["meta"]["properties"])
                         - manpages.names(parts["Members of meta"]), set())
        for word in schema["properties"]["tensors"]["items"]["properties"]["dtype"]["enum"]:
            self.assertRegex(parts["The manifest"], rf"\b{word}\b")

    def test_tensors_of_methods_and_what_they_draw(self):
        code = manpages.sources("worker/method", "worker/model")
        suffixes = set(re.findall(r"(?:\.|->)suffix = \"(\w+)\"", code))
        kinds = set(re.findall(r"(?:KIND\(|\.name = )\"(\w+)\"", code)) - {"permuted"}
        self.assertEqual(suffixes, {"lora_A", "lora_B", "magnitude", "M", "sketch"})
        self.assertEqual(len(kinds), 7)
        parts = manpages.sections(manpages.page("remora-checkpoint.5"), "Ss")
        for suffix in suffixes | {"S", "exp_avg", "exp_avg_sq"}:
            self.assertRegex(parts["Tensors"], rf"(?m)^\.It Li (?:.* , )?\.{suffix}\b")
        for kind in kinds:
            self.assertRegex(parts["Tensors"], rf"\b{kind}\b")
        header = (harness.SOURCE / "proto" / "base" / "rng.h").read_text()
        drawn = {dict(re.findall(r"RNG_PURPOSE_(\w+) = (\d+)", header))[name]
                 for name in re.findall(r"RNG_PURPOSE_(\w+)", code)}
        self.assertEqual(drawn, set(re.findall(r"(?m)^\.It (\d+) Ta",
                                               parts["Random numbers"])))

    def test_layouts_of_headers(self):
        row = r"(?m)^ \* +(\d+) +(\d+) +(\w+) "
        shard = re.findall(row, (harness.SOURCE / "proto" / "shards" / "shard.h").read_text())
        self.assertEqual(len(shard), 12)
        self.assertEqual(re.findall(r"\.It (\d+) Ta (\d+) Ta Va (\w+)",
                                    manpages.page("remora-shards.5")), shard)
        blob = (harness.SOURCE / "proto" / "store" / "blob.h").read_text().split("*/")[0]
        bits = {"u16": "2", "u32": "4", "u64": "8"}
        rows = [(offset, bits.get(width, width))
                for offset, width in re.findall(r"(?m)^ \* +(\d+) +(u?\d+) ", blob)]
        self.assertEqual(len(rows), 7)
        self.assertEqual(re.findall(r"\.It (\d+) Ta (\d+) Ta",
                                    manpages.page("remora-checkpoint.5")), rows)


class SpecPage(unittest.TestCase):
    """remora-spec.5 against schemas/job.schema.json."""

    def setUp(self):
        self.schema = json.loads((harness.SOURCE / "schemas" / "job.schema.json").read_text())
        page = manpages.page("remora-spec.5")
        self.entries = {}
        for entry in re.split(r"\n(?=\.It Va )", page.split("Sh EXAMPLES")[0])[1:]:
            name = entry.split("\n", 1)[0][len(".It Va "):]
            text = re.split(r"\n\.(?:El|Ss|Sh)", entry)[0]
            self.entries[name] = self.entries.get(name, "") + " ".join(text.split("\n")[1:])

    def resolve(self, node):
        while "$ref" in node:
            target = self.schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
            node = {**target, **{k: v for k, v in node.items() if k != "$ref"}}
        return node

    def fields(self, node, path=""):
        """(path, node, needed) of every field that holds a value."""
        node = self.resolve(node)
        alternatives = [self.resolve(alternative) for alternative in node.get("oneOf", [])]
        if alternatives and all("properties" in alternative for alternative in alternatives):
            for alternative in alternatives:
                yield from self.fields(alternative, path)
        elif node.get("type") == "object" and "properties" in node:
            for key, child in node["properties"].items():
                yield from self.fields(child, f"{path}.{key}" if path else key)
        elif node.get("type") == "array" and path == "data.train":
            yield path, node
            yield from self.fields(node["items"], path + "[]")
        else:
            yield path, node

    def test_every_field_is_there_with_bounds_default_and_values(self):
        for path, node in self.fields(self.schema):
            with self.subTest(field=path):
                self.assertIn(path, self.entries, "not in the page")
                text = self.entries[path]
                said = [float(number) for number in re.findall(r"[\d.]*\d(?:e-?\d+)?", text)]
                numbers = [node[key] for key in ("minimum", "exclusiveMinimum", "maximum",
                                                 "exclusiveMaximum") if key in node]
                default = node.get("default", {})
                if default != {}:
                    self.assertIn("efault", text)
                    numbers += default if isinstance(default, list) else [default]
                for value in numbers + node.get("enum", []) + (
                        [node["const"]] if "const" in node else []):
                    if isinstance(value, bool):
                        self.assertIn(str(value).lower(), text)
                    elif isinstance(value, str):
                        self.assertIn(value, text)
                    else:
                        self.assertIn(float(value), said)

    def test_no_field_is_made_up(self):
        known = {path for path, _ in self.fields(self.schema)}
        self.assertEqual(set(self.entries) - known, set())


if __name__ == "__main__":
    harness.main()
