"""Report on a run as a self-contained HTML file, without scripts, external fonts, images or network access.

``run_data`` collects the data of a recorded run from its record, and ``unrecorded`` that of any other run from the
window's memory. ``sections`` and the modules of figures convert it to markup, ``page`` assembles the document, and
``writing`` writes the file atomically.
"""
