"""Implementation of bootstrap.py.

It runs before anything is installed, on any Python from 3.6 on. It therefore uses the standard library only, and
neither it nor qatviz/__init__.py imports any other module of qatviz.
"""
