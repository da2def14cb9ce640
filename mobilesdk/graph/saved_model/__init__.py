"""Read a TensorFlow SavedModel: check its folder, flatten its graph, build a module of torch."""
