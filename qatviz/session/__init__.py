"""Begin, resume, fork, open, evaluate, report and export a run. No argparse, no Qt."""
