"""Report on a run as a self-contained HTML file, without scripts, external fonts, images or network access.

``run_data`` collects the data of a recorded run, and ``shown`` that of a run in the window. ``sections`` and the
modules of figures convert it to markup, ``page`` assembles the document, and ``writing`` writes the file atomically.
"""
