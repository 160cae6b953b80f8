"""Sources: what images there are, and their bytes. Imports no torch; memory stays flat over any number of them.

items = list_items(["photos", "s3://bucket/train-{0000..0099}.tar", "train.parquet", "list.csv", "-"], sys.stdin.buffer)
with Reader() as reader:
    for item in items:                                 # Item(path, place, label, problem)
        data = reader.read(item)                       # bytes; FuncamError for one that can't be read
"""

from funcam.sources.find import list_items
from funcam.sources.item import Item, Place, item_line, item_of
from funcam.sources.reading import Reader

__all__ = ["Item", "Place", "Reader", "item_line", "item_of", "list_items"]
