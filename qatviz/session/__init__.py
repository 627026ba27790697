"""Begin, resume, fork, open and export a run. No argparse, no Qt."""
