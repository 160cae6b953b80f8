"""The explainer as one file: a network and a method as one graph, for ONNX Runtime or torch, without funcam."""
