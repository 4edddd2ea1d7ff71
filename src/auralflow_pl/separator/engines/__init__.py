"""Engines that run a network: torch or ONNX Runtime; graphs and their cache; exports.

May import what `separator` may, and nothing of the modules of `separator` beside this folder.
Start with `engine.start_engine`, then `graph_cache.cached_graph`.
"""
