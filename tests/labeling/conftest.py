"""Settings of the property tests of this room."""

from hypothesis import settings

# A loaded machine is no failure: how long an example takes is not what these tests are about.
settings.register_profile("labeling", deadline=None)
settings.load_profile("labeling")
