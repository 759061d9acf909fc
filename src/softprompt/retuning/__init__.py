"""`make retune`: does the report's ranking survive another tuning seed? Writes docs/retuning.md.

Some methods go through the whole procedure again with fresh master seeds, and their scores should lie inside the
intervals that the report prints. One search range is widened, and no verdict should move. Needs a finished
`dvc repro`; what was trained is kept below results/retuning and found again.
"""
