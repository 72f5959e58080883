"""One thread: tiny models are slower with two. No network: a model that is not there must fail, not be fetched."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
