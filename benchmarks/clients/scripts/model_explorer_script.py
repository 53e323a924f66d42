"""Model Explorer's server, with a model and node data laid over it: ``python SCRIPT MODEL NODE_DATA.json PORT``."""

import sys

import model_explorer

model, node_data, port = sys.argv[1:]
config = model_explorer.config()
config.add_model_from_path(model).add_node_data_from_path(node_data)
model_explorer.visualize_from_config(config, port=int(port), no_open_in_browser=True)
