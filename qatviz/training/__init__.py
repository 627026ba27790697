"""From a network to a run: the TensorFlow graph, the loop, commands, checkpoints, and the handle that others hold.

``commands``, ``options`` and ``settings_book`` import no TensorFlow and may be used anywhere; the rest belongs to the
training thread.
"""
