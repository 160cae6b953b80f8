"""The store of `funcam batch`: a folder of rows and maps that is byte for byte the same, interrupted or not. No torch.

with Writer("store", question) as writer:              # one process
    writer.list_items(list_items(["photos"]))
    for number in writer.missing():
        shard = Shard("store", number)                 # any worker, on any machine that sees the folder
        for batch in shard.missing():
            shard.add(batch, [Row(...) for index, item in shard.items(batch)])
        shard.finish()
for row in open_store("store").rows(["score < 0.5"]):  # lazily
    row.path, row.figures, row.map
"""

from funcam.resuming.content import content_hash
from funcam.store.encoding import MAP_TYPES
from funcam.store.figures import Figures, figures
from funcam.store.query import parse_query
from funcam.store.reading import Store, open_store
from funcam.store.rows import Row
from funcam.store.shard import Shard
from funcam.store.writing import Writer

__all__ = [
    "MAP_TYPES",
    "Figures",
    "Row",
    "Shard",
    "Store",
    "Writer",
    "content_hash",
    "figures",
    "open_store",
    "parse_query",
]
