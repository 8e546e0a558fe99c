"""The logger of the package."""

import logging

log = logging.getLogger("pyro")
