"""The helpers of other folders: Keras models and their import, trained networks and their exports."""

import os
import sys

for folder in ("network", "training", "export"):
    sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), folder))
