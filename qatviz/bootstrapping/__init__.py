"""The steps of bootstrap.py.

They run before anything is installed: standard library only, and nothing that Python 3.6 lacks; nor does
the package around this one import more, for that reason.
"""
