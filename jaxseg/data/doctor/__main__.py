"""`python -m jaxseg.data.doctor`; see `jaxseg.data.doctor.doctor`."""

from absl import app

from jaxseg.data.doctor import doctor
from jaxseg.data.prepare import prepare

if __name__ == "__main__":
    app.run(doctor.main, flags_parser=prepare.parse_flags)
