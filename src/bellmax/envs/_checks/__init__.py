"""Whether an environment keeps what training relies on."""

from ._environment import check_environment as check_environment
from ._report import Finding as Finding
from ._report import Report as Report
