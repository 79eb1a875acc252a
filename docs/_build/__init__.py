"""What makes the site's pages out of the repository: pages, notebooks, and the list of public names."""

from ._names import documented_names as documented_names
from ._names import public_names as public_names
from ._names import undescribed_names as undescribed_names
from ._notebooks import notebook_page as notebook_page
from ._pages import linked as linked
from ._pages import stage as stage
