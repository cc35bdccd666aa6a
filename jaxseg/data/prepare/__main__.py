"""`python -m jaxseg.data.prepare`; see `jaxseg.data.prepare.prepare`."""

from absl import app

from jaxseg.data.prepare import prepare

if __name__ == "__main__":
    app.run(prepare.main, flags_parser=prepare.parse_flags)
