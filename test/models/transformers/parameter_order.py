"""Names of all parameters in the order of named_parameters(), of the golden checkpoints: python parameter_order.py GOLDEN > parameter_order.json"""
import json
import os
import sys

import torch
from transformers import AutoModelForImageTextToText

root = sys.argv[1]
order = {}
for name in sorted(os.listdir(root)):
    folder = os.path.join(root, name, 'model')
    if os.path.exists(os.path.join(folder, 'config.json')):
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
        order[name] = [n for n, _ in model.named_parameters()]
json.dump(order, sys.stdout, indent=1)
