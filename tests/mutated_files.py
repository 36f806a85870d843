"""Files that someone has damaged or forged, loaded in a process of little memory.

    python tests/mutated_files.py FOLDER 2000

prints how many were refused, and what did harm: anything but a ValueError that names
the file, a warning, an attempt to take much memory, an import, a pickle, a process.
"""

import copy
import importlib.util
import io
import json
import struct
import sys
import time
import warnings
import zipfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sample_nets import Layers, logits_net, tiny_default_net
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmix
from skmix._files import container
from skmix._files.names import known

MORE_MEMORY = 2**29  # bytes, beside what the process has when it begins to load
SECONDS = 10  # for a file


def packed_again(data, *, edit=None, text=None, tensors=None, steps=None):
    """Return a file with edited parts, lengths that fit them, and the right digest."""
    start, rest = container.START.size, container.START.size + container.DIGEST
    lengths = container.LENGTHS.unpack_from(data, rest)
    ends = np.cumsum([container.HEADER, *lengths])
    parts = [data[a:b] for a, b in pairwise(ends)]
    if edit is not None:
        record = json.loads(parts[0])
        edit(record)
        parts[0] = json.dumps(record).encode()
    for k, change in enumerate((text, tensors, steps)):
        parts[k] = parts[k] if change is None else change(parts[k])
    body = container.LENGTHS.pack(*map(len, parts)) + b"".join(parts)
    return data[:start] + container.sha256(data[:start] + body) + body


# Forgeries.


def places(value, path=()):
    """Yield the path to each value in JSON."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, part in items:
        yield from places(part, (*path, key))


def at(record, path):
    for key in path:
        record = record[key]
    return record


class Forger:
    """Makes forgeries of files by a seed."""

    def __init__(self, files, seed):
        self.files, self.rng = files, np.random.default_rng(seed)
        self.places = [
            [path for path in places(json.loads(self.text_of(data))) if path]
            for data in files
        ]

    def text_of(self, data):
        content = container.unpacked(data)
        return json.dumps(content.record)

    def one(self):
        k = self.last = int(self.rng.integers(len(self.files)))
        kinds = [self.flip, self.cut, *[self.edit] * 6, *[self.forge_tensors] * 2]
        if container.unpacked(self.files[k]).steps:
            kinds += [self.forge_steps] * 5
        return kinds[self.rng.integers(len(kinds))](k)

    def flip(self, k):
        data = bytearray(self.files[k])
        for _ in range(self.rng.integers(1, 4)):
            data[self.rng.integers(len(data))] ^= 1 << self.rng.integers(8)
        return bytes(data)

    def cut(self, k):
        return self.files[k][: self.rng.integers(len(self.files[k]))]

    def edit(self, k):
        times = int(self.rng.integers(1, 3))

        def change(record):
            for _ in range(times):
                self.change(record, self.places[k])

        return packed_again(self.files[k], edit=change)

    def change(self, record, paths):
        """Change one value of a record, remove it, or put another beside it."""
        path = paths[self.rng.integers(len(paths))]
        try:
            holder, old = at(record, path[:-1]), at(record, path)
        except (KeyError, IndexError, TypeError):  # it was removed before
            return
        what = self.rng.integers(8)
        if what == 0:
            del holder[path[-1]]
        elif what == 1 and isinstance(holder, dict):
            holder[str(self.rng.choice(["x", "type", "__class__", "class"]))] = old
        elif what == 2:
            other = paths[self.rng.integers(len(paths))]
            try:
                holder[path[-1]] = copy.deepcopy(at(record, other))
            except (KeyError, IndexError, TypeError):
                return
        else:
            holder[path[-1]] = self.value(old)

    def value(self, old):
        names = [*known(), "os:system", "builtins:eval", "sample_nets:Layers"]
        values = [
            *(None, True, -1, 0, 1, 2, 10**6, 10**9, 2**63, 10**30, 0.5, -1e300, ""),
            *("nan", "0", "1", [], {}, [old] * 3, {"type": "array", "tensor": "0"}),
            {"type": "name", "name": names[self.rng.integers(len(names))]},
            {"type": "float", "value": "nan"},
            {"type": "scalar", "dtype": "float16", "value": 1e300},
            {"type": "decimal", "value": "1e999999999"},
            {"type": "timestamp", "value": 10**18, "unit": "s"},
            *("(" * 100, "i8," * 100, "../../x", "a" * 10**6),
            {"type": "partial", "func": {"type": "name", "name": "print"}}
            | {"args": ["harm"], "keywords": {"type": "dict", "items": []}},
            {"type": "object", "class": "sample_nets:Layers", "params": {"d": 10**9}},
            {"type": "strings", "items": [""] * 9, "width": 10**8},
            names[self.rng.integers(len(names))],
        ]
        if type(old) is int:
            values += [old + 1, old - 1, -old, old * 2, old * 10**6] * 4
        return values[self.rng.integers(len(values))]

    def forge_tensors(self, k):
        """Change what the header of the tensors says of one of them."""

        def change(data):
            (n,) = struct.unpack_from("<Q", data)
            header = json.loads(data[8 : 8 + n])
            name = list(header)[self.rng.integers(len(header))]
            entry = header[name]
            what = self.rng.integers(5)
            if what == 0:
                entry["shape"] = [int(10 ** self.rng.integers(1, 12))] * 2
            elif what == 1:
                dtypes = ["F32", "F64", "I64", "BOOL", "BF16", "U8", "F16", "U64"]
                entry["dtype"] = dtypes[self.rng.integers(len(dtypes))]
            elif what == 2:
                entry["data_offsets"][1] = int(10 ** self.rng.integers(1, 18))
            elif what == 3:
                entry["shape"] = entry["shape"][::-1]
            else:
                del header[name]
            text = json.dumps(header).encode()
            return struct.pack("<Q", len(text)) + text + data[8 + n :]

        return packed_again(self.files[k], tensors=change)

    def forge_steps(self, k):
        """Change what skops says of the transformers, or one of their arrays."""

        def change(data):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                parts = {name: archive.read(name) for name in archive.namelist()}
            name = list(parts)[self.rng.integers(len(parts))]
            if name != "schema.json" and self.rng.random() < 0.5:
                part = bytearray(parts[name])
                part[self.rng.integers(len(part))] ^= 1 << self.rng.integers(8)
                parts[name] = bytes(part)
            else:
                schema = json.loads(parts["schema.json"])
                self.change(schema, [path for path in places(schema) if path])
                parts["schema.json"] = json.dumps(schema).encode()
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                for name, part in parts.items():
                    archive.writestr(name, part)
            return packed.getvalue()

        return packed_again(self.files[k], steps=change)


# The trial.


def saved_files(folder):
    """Save estimators of several kinds; return their files and a table."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=40), "b": rng.choice(list("xyz"), 40)})
    X.loc[3, "a"] = np.nan
    y, z = rng.choice(["no", "yes"], 40), rng.normal(size=40)
    net = tiny_default_net("regressor")
    two = {"max_epochs": 2}
    models = [
        skmix.MixupClassifier(tiny_default_net(), random_state=0).fit(X, y),
        skmix.MixupRegressorCV(net, alphas=[0], cv=2, random_state=0).fit(X, z),
        skmix.MixupClassifier(logits_net(**two), random_state=0).fit(X, y),
    ]
    if importlib.util.find_spec("skops"):
        steps = StandardScaler(), SimpleImputer(), PCA(2)
        model = make_pipeline(*steps, skmix.MixupClassifier(logits_net(**two)))
        models.append(model.fit(X[["a"]].assign(b=range(40), c=1.0), y))
    files = []
    for model in models:
        skmix.save(model, folder / "model.skmix")
        files.append((folder / "model.skmix").read_bytes())
    return files, [X, X, X, X[["a"]].assign(b=range(40), c=1.0)]


def limit_memory():
    """Let the process take no more than `MORE_MEMORY` from now on."""
    try:
        import resource
    except ImportError:  # on Windows
        return
    sizes = Path("/proc/self/statm")
    if not sizes.exists():  # on macOS
        return
    now = int(sizes.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MORE_MEMORY,) * 2)


FORBIDDEN = ("pickle.", "exec", "compile", "os.system", "subprocess.", "socket.")


def trial(folder, n):
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    files, tables = saved_files(folder)
    path = folder / "mutated.skmix"
    forger, counts, harm = Forger(files, seed=0), Counter(), []
    for data, X in zip(files, tables, strict=False):
        path.write_bytes(data)
        skmix.load(path, trusted=[Layers]).predict(X)  # imports what is imported late
    seen = []
    sys.addaudithook(
        lambda event, _: seen.append(event) if event.startswith(FORBIDDEN) else None
    )
    limit_memory()
    for k in range(n):
        path.write_bytes(forger.one())
        X = tables[forger.last]
        counts["files"] += 1
        start, before = time.perf_counter(), len(seen)
        try:
            model = skmix.load(path, trusted=[Layers])
        except ValueError as error:
            counts["refused"] += 1
            message = str(error)
            if str(path) not in message or "llocate" in message or "Memory" in message:
                harm.append(f"{k}: {message}")
            if "are refused" in message:
                counts["refused late"] += 1
        except BaseException as error:
            harm.append(f"{k}: {type(error).__name__}: {error}")
        else:
            counts["loaded"] += 1
            try:
                model.predict(X)
                counts["predicted"] += 1
            except Exception as error:
                if isinstance(error, MemoryError) or "llocate" in str(error):
                    harm.append(f"{k}: predict: {type(error).__name__}: {error}")
        if time.perf_counter() - start > SECONDS:
            harm.append(f"{k}: took {time.perf_counter() - start:.0f} s")
        # (Of an array in a Pipeline numpy parses a header of at most 10,000 signs.)
        found = set(seen[before:]) - ({"compile"} if forger.last == 3 else set())
        if found:
            harm.append(f"{k}: {sorted(found)}")
    return counts | {"harm": harm}


if __name__ == "__main__":
    print(json.dumps(trial(Path(sys.argv[1]), int(sys.argv[2]))))
