"""Datasets as pyarrow, pandas and datasets write them, and the rows that pyarrow and datasets read in them.

    python test/data/files/make.py

Writes fixtures/ and expected.json beside this file. Made with pyarrow 26.0.1, pandas 3.1.1, datasets 4.8.4.
"""

import base64
import csv
import datetime
import io
import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp()

import datasets  # noqa: E402
import pandas as pd  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.feather as feather  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from PIL import Image  # noqa: E402

datasets.disable_progress_bars()
here = Path(__file__).resolve().parent
out = here / "fixtures"
shutil.rmtree(out, ignore_errors=True)
out.mkdir()


def png(i):
    image = Image.new("RGB", (32, 32), [(255, 0, 0), (0, 255, 0), (0, 0, 255)][i % 3])
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def row(i):
    return {
        "messages": [{"role": "user", "content": f"<image>Frage {i}: wie groß? 漢字"}],
        "images": [{"bytes": png(i), "path": f"{i}.png"}] if i % 4 else [{"bytes": None, "path": "pictures/0.png"}],
        "solution": None if i == 2 else f"{i}",
        "big": 2**60 + i,
        "small": i - 2,
        "score": None if i == 1 else i / 3,
        "right": i % 2 == 0,
        "when": datetime.datetime(2024, 5, 6, 7, 8, 9, 123000) + datetime.timedelta(days=i),
        "tags": ["a", None, ""][: i % 4],
        "numbers": list(range(i)),
        "halves": [k / 2 for k in range(i)],
        "raw": bytes([0, 255, i]),
        "kind": ["red", "green", "red"][i % 3],
        "nothing": None,
        "deep": {"a": {"b": [{"c": i}, {"c": None}]}, "empty": []} if i != 3 else None,
    }


ROWS = [row(i) for i in range(5)]
SCHEMA = pa.schema(
    [
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))),
        ("solution", pa.string()),
        ("big", pa.int64()),
        ("small", pa.int32()),
        ("score", pa.float64()),
        ("right", pa.bool_()),
        ("when", pa.timestamp("us")),
        ("tags", pa.list_(pa.string())),
        ("numbers", pa.list_(pa.int64())),
        ("halves", pa.list_(pa.float32())),
        ("raw", pa.binary()),
        ("kind", pa.string()),
        ("nothing", pa.null()),
        ("deep", pa.struct([("a", pa.struct([("b", pa.list_(pa.struct([("c", pa.int16())])))])), ("empty", pa.list_(pa.string()))])),
    ]
)
TABLE = pa.Table.from_pylist(ROWS, SCHEMA)
expected = {}


def plain(value):
    """What the values are on the other side: docs/dataset.md, "Files"."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def expect(name, rows):
    expected[name] = [plain(each) for each in rows]


# --- Parquet ---
for codec in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
    pq.write_table(TABLE, out / f"{codec}.parquet", compression=codec)
    expect(f"{codec}.parquet", pq.read_table(out / f"{codec}.parquet").to_pylist())
pq.write_table(TABLE, out / "groups.parquet", row_group_size=2, data_page_version="2.0", write_page_index=True, version="1.0")
expect("groups.parquet", pq.read_table(out / "groups.parquet").to_pylist())
pq.write_table(TABLE, out / "delta.parquet", use_dictionary=False, column_encoding={"solution": "DELTA_BYTE_ARRAY", "big": "DELTA_BINARY_PACKED", "kind": "DELTA_LENGTH_BYTE_ARRAY", "score": "BYTE_STREAM_SPLIT"})
expect("delta.parquet", pq.read_table(out / "delta.parquet").to_pylist())
pd.DataFrame([{"problem": "<image>What?", "image": png(1), "answer": 3}, {"problem": "<image>Which?", "image": png(2), "answer": 4}]).to_parquet(out / "pandas.parquet")
expect("pandas.parquet", pq.read_table(out / "pandas.parquet").to_pylist())
hub = datasets.Dataset.from_list(
    [{"problem": f"<image>What colour is square {i}?", "image": Image.open(io.BytesIO(png(i))), "answer": ["red", "green", "blue"][i]} for i in range(3)],
    features=datasets.Features({"problem": datasets.Value("string"), "image": datasets.Image(), "answer": datasets.Value("string")}),
)
hub.to_parquet(out / "image.parquet")
undecoded = hub.cast_column("image", datasets.Image(decode=False))
expect("image.parquet", undecoded.to_list())

# --- Arrow ---
feather.write_feather(TABLE, out / "plain.feather", compression="uncompressed", chunksize=2)
feather.write_feather(TABLE, out / "zstd.feather", compression="zstd")
feather.write_feather(TABLE, out / "lz4.feather", compression="lz4")
expect("plain.feather", ROWS)
expect("zstd.feather", ROWS)
wide = TABLE.select(["solution", "raw", "kind", "tags"])
wide = pa.table(
    {
        "solution": wide["solution"].cast(pa.large_string()),
        "raw": wide["raw"].cast(pa.large_binary()),
        "kind": wide["kind"].dictionary_encode(),
        "tags": wide["tags"].cast(pa.large_list(pa.large_string())),
        "view": wide["solution"].cast(pa.string_view()),
    }
)
with pa.ipc.new_stream(out / "wide.arrow", wide.schema) as writer:
    writer.write_table(wide, max_chunksize=2)
expect("wide.arrow", wide.to_pylist())

# --- datasets: save_to_disk ---
saved = datasets.Dataset.from_list(ROWS).remove_columns(["nothing"])
saved.save_to_disk(out / "saved", num_shards=2)
expect("saved", datasets.load_from_disk(out / "saved").to_list())
tools = datasets.Dataset.from_dict(
    {"query": ["a", "b"], "tools": [[{"name": "zoom", "parameters": {"x": 1}}], []], "extra": [{"a": 1}, {"b": [2, None]}]},
    features=datasets.Features({"query": datasets.Value("string"), "tools": datasets.List(datasets.Json()), "extra": datasets.Json()}),
)
tools.save_to_disk(out / "json_feature")
expect("json_feature", [tools[i] for i in range(2)])
tools.to_parquet(out / "json_feature.parquet")
expect("json_feature.parquet", [tools[i] for i in range(2)])
datasets.DatasetDict({"train": hub.select([0, 1]), "test": hub.select([2])}).save_to_disk(out / "saved_dict")
expect("saved_dict", undecoded.select([0, 1]).to_list())
expect("saved_dict/test", undecoded.select([2]).to_list())

# --- a snapshot as it is published ---
published = out / "published"
(published / "data").mkdir(parents=True)
(published / "README.md").write_text("---\nconfigs:\n- config_name: default\n---\n")
for i in range(2):
    hub.shard(2, i, contiguous=True).to_parquet(published / "data" / f"train-{i:05d}-of-00002.parquet")
hub.select([2]).to_parquet(published / "data" / "test-00000-of-00001.parquet")
expect("published", undecoded.to_list())

# --- texts ---
texts = [
    {"query": "plain", "solution": "1", "images": "a.png"},
    {"query": 'quote " and, comma', "solution": "", "images": '["a.png", "b.png"]'},
    {"query": "two\nlines\r\nthree", "solution": "007", "images": ""},
    {"query": "漢字 🙂", "solution": "x", "images": "ä.png"},
]
pd.DataFrame(texts).to_csv(out / "pandas.csv", index=False)
pd.DataFrame(texts).to_csv(out / "tabs.tsv", index=False, sep="\t")
pd.DataFrame(texts).to_csv(out / "index.csv", encoding="utf-8-sig")
with open(out / "excel.csv", "w", newline="") as file:
    writer = csv.DictWriter(file, texts[0].keys(), dialect="excel", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(texts)
read = lambda name, **how: pd.read_csv(out / name, dtype=str, na_filter=False, encoding="utf-8-sig", **how).to_dict("records")  # noqa: E731


def cells(rows, empty=None):
    """An empty cell that is not quoted has no value, and lists of images are JSON."""
    images = lambda text: json.loads(text) if text.startswith("[") else text  # noqa: E731
    return [{key: empty if cell == "" else images(cell) if key == "images" else cell for key, cell in each.items()} for each in rows]


expect("pandas.csv", cells(read("pandas.csv")))
expect("tabs.tsv", cells(read("tabs.tsv", sep="\t")))
expect("index.csv", cells(read("index.csv")))
expect("excel.csv", cells(read("excel.csv"), ""))

objects = [{"query": f'<image>[{{"{i}\\', "images": [f"{i}.png"], "deep": {"a": [[], {}, [1, [2]]]}, "n": None} for i in range(3)]
(out / "indent.json").write_text(json.dumps(objects, indent=2, ensure_ascii=False))
(out / "compact.json").write_text("\ufeff" + json.dumps(objects))
pd.DataFrame(objects).to_json(out / "pandas.json", orient="records")
pd.DataFrame(objects).to_json(out / "lines.json", orient="records", lines=True)
for name in ["indent.json", "compact.json", "pandas.json", "lines.json"]:
    expect(name, objects)

pd.DataFrame([{"messages": [{"role": "user", "content": text}], "images": "a.png"} for text in ["it's \"quoted\"", "a\\b\n\t漢字 🙂\x07"]]).to_csv(out / "python.csv", index=False)

# --- Python's notation of values: what ast.literal_eval reads and refuses ---
values = [
    [],
    [[1, -2.5, 1e30, True, False, None], {"a": {"b": []}}, (), ("x",), (1, 2)],
    [{"role": "user", "content": "it's"}, {"role": "user", "content": 'a "b"'}, {"content": "both ' and \""}],
    ["\\n is no line", "line\nline", "\ttab\r\x00\x1f\x7f\x85\xa0\u2028", "漢字 🙂 \ud800", "\\", "'", '"', ""],
]
written = [repr(value) for value in values] + [
    "['a' 'b', \"c\"]", "[ 1 ,\n 2 , ]", "[r'\\n', u'x', '''three\n' quotes''', \"\"\"more\"\"\"]", "(1)", "(1,)", "['\\x41\\u00e9\\U0001F600\\101\\q\\\n']",
    "[.5, 5., +1, 0]", "{'a': 1, 'a': 2}",
    # refused
    "[1 2]", "['a", "[a]", "[f'x']", "[", "[,]", "{'a' 1}", "[1]]", "['\\x4']", "['a\nb']", "[__import__('os')]", "[1+1]x", "",
]
import ast  # noqa: E402


def literal(text):
    try:
        return {"text": text, "value": plain(ast.literal_eval(text))}
    except (SyntaxError, ValueError):
        return {"text": text}


(here / "literals.json").write_text(json.dumps([literal(text) for text in written]))
(here / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, allow_nan=False))
