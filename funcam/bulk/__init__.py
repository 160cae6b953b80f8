"""Maps of many images into a store: what is asked of each, the worker that makes a shard, the engines that run it."""
