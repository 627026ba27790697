"""A run as one HTML file that needs nothing else: no network, no scripts, no fonts, no pictures beside it.

``run_data`` gathers what there is to tell (from a record, or from what the window has in memory), ``sections`` and the
modules of pictures turn it into markup, ``page`` puts it together, ``writing`` puts it on disk, whole or not at all.
"""
