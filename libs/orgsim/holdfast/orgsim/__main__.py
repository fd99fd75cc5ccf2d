"""`python -m holdfast.orgsim`."""

from holdfast.orgsim.main import app

app(prog_name="holdfast org")
