"""A store made by a Ray cluster of two nodes on this machine, one of which is killed, beside one made in one process.

python tests/helpers/clusters.py SOURCE FOLDER    # prints how many shards there are, and how many are the same
"""

from __future__ import annotations

import filecmp
import os
import sys
import threading
from pathlib import Path

from funcam.bulk.asked import Asked, question_of
from funcam.bulk.cluster import run_cluster
from funcam.bulk.local import run_local
from funcam.recipe import Recipe
from funcam.sources import list_items
from funcam.store import Writer
from funcam.zoo.nets import load_net

MEMORY = 200 * 2**20


def main(source: str, folder: Path) -> None:
    """The local engine, then the cluster, whose second node is gone once two shards are explained."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    asked = Asked(load_net("scenes"), Recipe(methods=("grad-cam",)))
    question = question_of(asked, map_type="float16", shard_size=12, batch_size=4)
    with Writer(folder / "local", question) as writer:
        writer.list_items(list_items([source]))
        run_local(asked, writer, lambda _images, _failures: None)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": MEMORY})
    second = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    ray.init(address=cluster.address, log_to_driver=False)
    done, killed = [0], list[threading.Thread]()

    def tell(images: int, _failures: int) -> None:
        done[0] += images
        if done[0] >= 24 and not killed:
            killed.append(threading.Thread(target=cluster.remove_node, args=(second, False)))
            killed[0].start()

    with Writer(folder / "cluster", question) as writer:
        writer.list_items(list_items([source]))
        run_cluster(asked, writer, tell)
    killed[0].join()
    ray.shutdown()
    cluster.shutdown()
    shards = sorted(path.name for path in (folder / "local").glob("maps-*"))
    same = sum(filecmp.cmp(folder / "local" / name, folder / "cluster" / name, shallow=False) for name in shards)
    print(len(shards), same, len(list((folder / "cluster").glob("maps-*"))))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
